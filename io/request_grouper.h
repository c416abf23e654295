// RequestGrouper: gathers rows of one candidate each into the requests that they are of, in bounded memory.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "io/dataset_writer.h"
#include "io/external_sort.h"
#include "io/row_columns.h"

namespace lime {

class RequestGrouper {
 public:
  // Rows of a user that are alike in two keys form a request, wherever they stand. `day_of(first, second)`:
  // the day that it counts for, since epoch. Sorts in files under `scratch`.
  using DayOf = std::function<int64_t(int64_t first, int64_t second)>;
  RequestGrouper(const DatasetSchema&, const std::string& scratch, int64_t memory_bytes, DayOf);

  // A row with one candidate; its `day` is not looked at.
  void add(const RequestRow& row, int64_t first, int64_t second);

  // Ends adding. Calls `take(request, share of the rows that are done)` for each request, by user, then keys.
  // Its time is the earliest of its rows' times, so that no event between its rows can be in its history; its
  // features are those of its first row; its candidates are in the order in which they were added.
  void finish(const std::function<void(const RequestRow&, double)>& take);

 private:
  int64_t memory_;
  DayOf day_of_;
  RowLayout request_layout_, candidate_layout_;
  size_t labels_, weights_;  // of a candidate
  ExternalSorter rows_;
  RecordWriter record_;
  int64_t sequence_ = 0;
};

}  // namespace lime
