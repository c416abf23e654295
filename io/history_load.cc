#include "io/history_load.h"

#include <algorithm>

#include "io/column_data.h"
#include "io/part_files.h"

namespace lime {
namespace {

std::vector<WindowLoad> windows_of(const Hdf5File& file, int64_t requests, int64_t window,
                                   int64_t max_history) {
  check_part_file(file, "day");
  std::vector<WindowLoad> loads;
  for (int64_t begin = 0; begin < requests; begin += window) {
    const int64_t end = std::min(begin + window, requests);
    WindowLoad& load = loads.emplace_back();
    load.requests = end - begin;
    for (const int64_t events : load_integers(file, "/request/history_end", begin, end, requests)) {
      const int64_t length = std::clamp<int64_t>(events, 0, max_history);
      load.tokens += length;
      load.squares += static_cast<double>(length) * static_cast<double>(length);
    }
  }
  return loads;
}

}  // namespace

HistoryLoads measure_histories(const Dataset& dataset, const std::vector<std::string>& days,
                               int64_t virtual_shards, std::pair<int64_t, int64_t> shards, int64_t window,
                               int64_t max_history) {
  HistoryLoads loads;
  for (const auto& day : days)
    for (int64_t part = 0; part < dataset.parts(); ++part) {
      const int64_t requests = dataset.day(day).part_requests[static_cast<size_t>(part)];
      const bool ours = part % virtual_shards >= shards.first && part % virtual_shards < shards.second;
      if (!ours || requests == 0) continue;
      const Hdf5File file(dataset.day_path(day, part), Hdf5File::Mode::read);
      loads[{day, part}] = windows_of(file, requests, window, max_history);
    }
  return loads;
}

}  // namespace lime
