// A random log in memory: what a dataset is written from, and what the reader's batches are checked against.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "io/dataset_writer.h"
#include "io/reader.h"

namespace lime {

// Columns of every group and kind; some users have no events, some no row; some items have no row; many
// events share a second with a request or with each other. The request column "rid" is the request's index in
// `requests`.
struct RandomLog {
  DatasetSchema schema;
  std::vector<EventRow> events;
  std::vector<RequestRow> requests;
  std::map<int64_t, RowValues> users, items;
};

struct RandomLogSize {
  int64_t users = 40, events = 1500, requests = 500, days = 3;
};
RandomLog make_random_log(uint64_t seed, const RandomLogSize& = {});

Dataset write_log(const RandomLog&, const std::string& directory, const WriterOptions&);
WriterOptions small_writer(int64_t parts);

// All features of the log, tasks and weights.
BatchSpec full_spec();
ReaderOptions reader_options(const Dataset&, int64_t shards);  // all days

// The events that a request's history is, oldest first, before truncation.
std::vector<const EventRow*> history_of(const RandomLog&, int64_t user, int64_t before_ms);

// Checks request `r` of a batch read with full_spec() against the log, where a candidate with neither label
// weighs so many times as much; returns its rid.
int64_t expect_request(const RandomLog&, const MicroBatch&, int64_t r,
                       const std::vector<const EventRow*>& history, float weight_of_negatives = 1);
// The rid of request r, with full_spec().
int64_t rid_of(const MicroBatch&, int64_t r);

// All batches of a reader until it is dry.
std::vector<Batch> read_all(BatchReader&);
// The rids of one shard's micro-batches.
std::vector<std::vector<int64_t>> rids_of_shard(const std::vector<Batch>&, int64_t shard);

}  // namespace lime
