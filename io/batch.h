// What the reader hands to the trainer: this rank's micro-batches of one step, features resolved to columns
// of ids.
#pragma once

#include <cstdint>
#include <vector>

#include "io/dataset.h"

namespace lime {

// One id feature over some rows: one id a row, or, where offsets is not empty (rows + 1), any number.
struct IdColumn {
  std::vector<int64_t> ids;
  std::vector<int64_t> offsets;
};

// Features of one group in the order of BatchSpec; real ones side by side in `real` (rows x real_width,
// row-major).
struct FeatureColumns {
  std::vector<IdColumn> id_columns;
  std::vector<float> real;
};

struct MicroBatch {
  int64_t shard = 0;  // virtual shard
  int64_t requests() const { return static_cast<int64_t>(user_id.size()); }
  bool empty() const { return user_id.empty(); }
  bool ended() const { return empty() && left_out == 0; }  // its shard has run dry

  std::vector<int64_t> history_offsets;    // requests + 1; oldest event first in each segment
  std::vector<int64_t> candidate_offsets;  // requests + 1
  // Where the reader takes a part of each history and of each request's candidates
  // (ReaderOptions::history_parts): by their lengths, the whole histories, and the events after the part;
  // else empty.
  std::vector<int64_t> whole_offsets, later_offsets;  // requests + 1
  FeatureColumns history, candidate, user;            // rows: events, candidates, requests
  std::vector<float> labels;                          // candidates x tasks
  std::vector<float> weights;                         // candidates x tasks: task weight x sample weight

  // For evaluation and prediction.
  std::vector<int64_t> user_id, time_ms, day;  // by request; day indexes the reader's list of days
  std::vector<int64_t> part, row;              // by request: where it stands in its day's part file
  std::vector<int64_t> item;                   // by candidate
  std::vector<float> metric_weight;            // by candidate: watch time for WT-AUC; empty if not configured
  int64_t truncated = 0;                       // histories cut to max_history
  int64_t left_out = 0;                        // requests passed over: negative sampling left nothing of them
};

// A reader's position in one virtual shard: the next request to come.
struct ShardPosition {
  int64_t shard = 0, epoch = 0, unit = 0, request = 0;
  friend bool operator==(const ShardPosition&, const ShardPosition&) = default;
};

struct Batch {
  std::vector<MicroBatch> micro;    // this rank's virtual shards, in order; dry ones are empty
  std::vector<ShardPosition> next;  // where each stands after this batch
  bool ended() const {
    for (const auto& m : micro)
      if (!m.ended()) return false;
    return true;
  }
};

}  // namespace lime
