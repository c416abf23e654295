// DatasetWriter: makes a dataset from events, requests and items given in any order, in bounded memory,
// atomically; or adds to one what is new.
//
// Rows are spilled to sorted runs and merged (external sort by user and time). The dataset appears under its
// name only when finish() has written, synced and checked everything; a writer destroyed before that removes
// what it made. Users are assigned to parts by balance of events and requests, the same assignment for any
// input order.
//
// Adding writes a folder of its own and changes no file of what is there, so that it costs what is added (and
// a row for each user: io/user_index.h), and readers go on with what they have opened. Days are closed: rows
// of the dataset's last day and before are left out, as are rows older than what the dataset has of their
// user, since they would change histories of requests that are there. docs/data_format.md has the rules, ADR
// 15 the reasons.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/dataset.h"
#include "io/text_file.h"

namespace lime {

// Values of one row in the order of the schema's columns of that group. `ids[k]` for the k-th id column,
// `lists[k]` for the k-th ids column, `reals[k]` for the k-th real column (each counted within its kind).
struct RowValues {
  std::vector<int64_t> ids;
  std::vector<std::vector<int64_t>> lists;
  std::vector<float> reals;
  friend bool operator==(const RowValues&, const RowValues&);  // missing numbers are equal
};

struct EventRow {
  int64_t user = 0, time_ms = 0, item = 0;  // item -1: none
  RowValues values;                         // group event
  std::string day = {};  // "2022-05-05": of the row that it comes from; "": it comes without a day
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
  bool add = false;  // add to the dataset of that name, in its parts (`parts` is not looked at)
  // Called now and then while rows are read and written. What it throws gives the work up, which leaves
  // nothing of it.
  std::function<void(const std::string& phase, double fraction)> progress;
  std::function<void(const std::string& line)> notice;  // told what the user should know
};

// What an import added to a dataset, and what it left out.
struct AddedRows {
  std::vector<std::string> days;
  int64_t users = 0, events = 0, requests = 0, candidates = 0;
  int64_t new_items = 0;                         // rows of items.h5 that it lacked
  int64_t changed_users = 0, changed_items = 0;  // that it has, with other values of features, for all days
  int64_t known_events = 0, known_requests = 0;  // left out: of days that the dataset has
  int64_t late_events = 0, late_requests = 0;    // left out: older than what it has, of days that it lacks
  bool any() const { return users + events + requests + new_items + changed_users + changed_items > 0; }
};

// What share of those that a new dataset's log names have a row of features. None where their group has no
// columns.
struct FeatureCoverage {
  std::optional<double> users;
  std::optional<double> items;  // of the items shown; an estimate where there are many (io/id_overlap.h)
};

class DatasetWriter {
 public:
  // Throws UserError if `directory` exists (without overwrite) or cannot be made; to add: if it is no
  // dataset, has another schema, or somebody else is adding to it. Removes what a killed writer of it left
  // (io/partial_directory.h).
  DatasetWriter(const std::string& directory, DatasetSchema, WriterOptions);
  ~DatasetWriter();

  void add_event(const EventRow&);
  bool add_request(const RequestRow&);  // false: left out, the dataset has its day or later ones
  // Groups user and item; those without a row here get -1, no ids and NaN. Of one with two rows finish()
  // throws UserError naming the place of both.
  void add_user(int64_t user, const RowValues&, TextPlace = {});
  void add_item(int64_t item, const RowValues&, TextPlace = {});
  // The written dataset. history_end of each request = how many of its user's events have a time before the
  // request's. Where there is nothing to add, the dataset stays as it is.
  Dataset finish();
  bool adds() const;  // to a dataset that was there
  std::string scratch()
      const;  // a folder for sorted runs; gone when the dataset is finished, or by the next import
  // What finish() added; of a new dataset: all.
  const AddedRows& added() const;
  // After finish().
  FeatureCoverage coverage() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lime
