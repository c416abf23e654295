// Who is slow: in a synchronous job the slowest rank decides how long a step takes.
//
// A rank's work in a step is what it did itself: computing (train_step.h) and waiting for its own reader, but
// not waiting for others. Ranks tell each other with their batches (batch_source.h), so that the numbers are
// those of a step or two before. Micro-batches differ: work is summed over windows, and a rank that only had
// more rows is not called slow.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "launch/batch_source.h"
#include "launch/progress.h"

namespace lime {

class RankWork {
 public:
  explicit RankWork(std::vector<std::string> hosts) : hosts_(std::move(hosts)) {}

  // A batch has arrived, and with it what each rank did since the one before.
  void add(std::span<const RankTurn>);
  // A step is over that took so long. The warning to print, at the end of a window in which one rank worked
  // at least 1.5 times as long as the median rank (of an even number: the lower one), rows considered, and
  // that cost 5% of the time: where that rank was not named by the last warning, or has been well since (less
  // than 1.25 times).
  //   rank 5 (node2) works 1.8 times as long a step as the median rank (41 ms for 23): ...
  std::optional<std::string> end_step(double step_ms);
  // Of the turns since the last call; none where there were none, or of one rank.
  std::optional<WorkSpread> take_spread();

 private:
  // Sums by rank.
  struct Sums {
    std::vector<RankTurn> ranks;
    int64_t turns = 0, steps = 0;
    double ms = 0;
    void add(std::span<const RankTurn>);
  };
  std::vector<double> times_of_median() const;
  std::string warning(int rank) const;

  std::vector<std::string> hosts_;
  int64_t seen_ = 0;  // turns ever
  Sums reported_, watched_;
  int named_ = -1;  // the rank of the last warning, until it is well
};

}  // namespace lime
