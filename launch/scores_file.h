// The file that `lime predict` writes, and what ranks send of it to the one that does.
//
//   /                   format "lime-scores", version 1, history
//   /request/day        i32 (20220508); user, time, part, row: i64
//   /candidate/offsets  i64, requests + 1
//   /candidate/item     i64
//   /score/TASK         f32, probabilities
//
// Requests are by day, part and row. How many each part of a day has is known before any is scored, so each
// has its place in the file, and nothing is held: columns are of one piece, without filters, and programs may
// map them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "io/batch.h"
#include "io/hdf5_draft.h"
#include "model/config.h"
#include "runtime/tensor.h"

namespace lime {

// "2022-05-08" -> 20220508
int32_t day_number(std::string day);

// Scored requests in the order of their shards: rows of a part one after the other.
class ScoredRequests {
 public:
  // probabilities: candidates x tasks, f32.
  void add(const MicroBatch&, const ConstView& probabilities);
  void clear();

  std::string packed() const;
  static ScoredRequests unpack(std::string_view);

 private:
  friend class ScoresFile;
  struct Request {
    int64_t day, part, row, user, time, candidates;  // `day` indexes the list of days
  };
  std::vector<Request> requests_;
  std::vector<int64_t> items_;  // by candidate
  std::vector<float> scores_;   // candidates x tasks
};

class ScoresFile {
 public:
  // Makes the file in its full size. Throws UserError where it cannot be written.
  ScoresFile(const std::string& path, const Dataset&, const Config&, const std::vector<std::string>& days,
             const std::string& history);

  // Rows of one part must come in order; parts in any.
  void add(const ScoredRequests&);
  // Every request of the days must have come. Without it nothing is left.
  void finish();

 private:
  // Requests of one part of a day: where they begin in the file, how many there are, how many have come.
  struct Unit {
    int64_t first_request, first_candidate, requests, candidates;
    int64_t requests_done = 0, candidates_done = 0;
  };
  // Requests [begin, end) of `scored`, all of one unit, whose candidates begin at `candidate`.
  void write(const ScoredRequests& scored, size_t begin, size_t end, size_t candidate);

  std::vector<std::string> tasks_;
  std::vector<int32_t> days_;  // 20220508
  int64_t parts_;
  std::vector<Unit> units_;  // by day and part
  Hdf5Draft draft_;
};

}  // namespace lime
