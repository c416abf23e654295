// How much there is to read in a shard: known before its first batch is.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "io/dataset.h"

namespace lime {

// Requests that are shuffled together.
struct WindowLoad {
  int64_t requests = 0;
  int64_t tokens = 0;  // of their running histories, up to max_history each
  double squares = 0;  // of these lengths, summed
};

// Of a day and a part: its windows, as they stand in the file.
using HistoryLoads = std::map<std::pair<std::string, int64_t>, std::vector<WindowLoad>>;

// Of the parts of virtual shards [first, last) of `virtual_shards`. Reads the column of each day file in
// which histories end, and throws UserError naming the file where that is not possible.
HistoryLoads measure_histories(const Dataset&, const std::vector<std::string>& days, int64_t virtual_shards,
                               std::pair<int64_t, int64_t> shards, int64_t window, int64_t max_history);

}  // namespace lime
