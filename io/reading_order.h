// What a ShardPosition refers to: the days that are read, and in which order. A position within an epoch
// means the same requests as long as these are what they were (io/shard_stream.h); days that are added at the
// end change nothing of what was read before. Features of users and items may change as days are added to the
// dataset: so that a run's do not, it goes on with the dataset as of `imports`.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "io/dataset.h"

namespace lime {

struct ReadingOrder {
  int64_t shuffle_window = 0;  // requests; 0: not shuffled
  std::vector<std::pair<std::string, int64_t>>
      days;             // with a checksum of the numbers of requests of their parts
  int64_t imports = 0;  // of the dataset when it was read; 0: not known (an early checkpoint)
  friend bool operator==(const ReadingOrder&, const ReadingOrder&) = default;
};

// `shuffle_window`: 0 if not shuffled.
ReadingOrder reading_order(const Dataset&, const std::vector<std::string>& days, int64_t shuffle_window);

// The dataset as it was when `before` was read, where it has all of `days` already; else as it is.
Dataset as_read(const Dataset&, const ReadingOrder& before, const std::vector<std::string>& days);

// Throws UserError, beginning with `where`, unless a position of `before` is the same place in `now`.
void refuse_other_order(const ReadingOrder& before, const ReadingOrder& now, const std::string& where);

}  // namespace lime
