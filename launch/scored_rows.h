// Scored rows as a file: every candidate of an evaluation with what metrics need, for statistics of one's own
// and for comparisons of models (launch/compare).
//
//   /                        format "lime-rows", version 2, days "2022-05-05,2022-05-06"
//   /HISTORY/TASK/logit      f32
//   /HISTORY/TASK/label      f32
//   /HISTORY/TASK/watch_time f32; 0 without eval.watch_time
//   /HISTORY/TASK/day        i32, an index of days
//   /HISTORY/TASK/user       i64
//   /HISTORY/TASK/request    i64, one number for each request of a user and day; -1: it has no other
//   candidate
//
// Rows are in the order of their own values (day, user, request, logit, label, watch time): equal rows give
// equal columns, from any number of ranks.
#pragma once

#include <string>
#include <vector>

#include "io/hdf5_draft.h"
#include "launch/metrics.h"

namespace lime {

// Writes under a temporary name, so that a path that cannot be written is told before the scoring. Throws
// UserError naming the file. Without finish() nothing is left.
class ScoredRowsWriter {
 public:
  ScoredRowsWriter(const std::string& path, const std::vector<std::string>& days);

  void add(const std::string& history, const std::string& task, std::vector<ScoredRow> rows);
  void finish() { draft_.finish(); }

 private:
  Hdf5Draft draft_;
};

// Throws UserError naming the file where it is none, or one of another version.
class ScoredRowsFile {
 public:
  explicit ScoredRowsFile(const std::string& path);
  const std::vector<std::string>& days() const { return days_; }
  std::vector<ScoredRow> read(const std::string& history, const std::string& task) const;

 private:
  Hdf5File file_;
  std::vector<std::string> days_;
};

}  // namespace lime
