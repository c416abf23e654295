// DatasetWriter: makes a dataset from events, requests and items given in any order, in bounded memory,
// atomically.
//
// Rows are spilled to sorted runs and merged (external sort by user and time). The dataset appears under its
// name only when finish() has written, synced and checked everything; a writer destroyed before that removes
// what it made. Users are assigned to parts by balance of events and requests, the same assignment for any
// input order.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "io/dataset.h"

namespace lime {

// Values of one row in the order of the schema's columns of that group. `ids[k]` for the k-th id column,
// `lists[k]` for the k-th ids column, `reals[k]` for the k-th real column (each counted within its kind).
struct RowValues {
  std::vector<int64_t> ids;
  std::vector<std::vector<int64_t>> lists;
  std::vector<float> reals;
};

struct EventRow {
  int64_t user = 0, time_ms = 0, item = 0;
  RowValues values;  // group event
};

struct RequestRow {
  int64_t user = 0, time_ms = 0;
  std::string day;   // "2022-05-05": the day it counts for
  RowValues values;  // group request
  struct Candidate {
    int64_t item = 0;
    RowValues values;            // group candidate
    std::vector<float> labels;   // in schema order
    std::vector<float> weights;  // in schema order
  };
  std::vector<Candidate> candidates;
};

struct WriterOptions {
  int64_t parts = 8;
  int64_t memory_bytes = int64_t{1} << 30;  // for sorting, in all
  int compression = 1;                      // deflate level after shuffle; 0: none
  bool overwrite = false;                   // replace an existing dataset of that name
  std::function<void(const std::string& phase, double fraction)> progress;
  std::function<void(const std::string& line)> notice;  // told what the user should know
};

class DatasetWriter {
 public:
  // Throws UserError if `directory` exists (without overwrite) or cannot be made. Removes what a killed
  // writer of it left (io/partial_directory.h).
  DatasetWriter(const std::string& directory, DatasetSchema, WriterOptions);
  ~DatasetWriter();

  void add_event(const EventRow&);
  void add_request(const RequestRow&);
  void add_user(int64_t user, const RowValues&);  // group user; users without a row here get -1 and 0
  void add_item(int64_t item, const RowValues&);  // group item
  // The written dataset. history_end of each request = the first of its user's events with time >= the
  // request's.
  Dataset finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lime
