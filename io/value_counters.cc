#include "io/value_counters.h"

#include <cmath>
#include <iterator>

#include "runtime/philox.h"

namespace lime {

void DistinctCounter::add(int64_t id) {
  const uint64_t hash = mix64(static_cast<uint64_t>(id));
  if (least_.size() == kept && hash >= *least_.rbegin()) return;
  least_.insert(hash);
  if (least_.size() > kept) least_.erase(std::prev(least_.end()));
}

int64_t DistinctCounter::count() const {
  if (is_exact()) return static_cast<int64_t>(least_.size());
  const double share = std::ldexp(static_cast<double>(*least_.rbegin()), -64);  // of all hashes
  return std::llround(static_cast<double>(kept - 1) / share);
}

void FrequentIds::add(int64_t id) {
  if (const auto found = times_.find(id); found != times_.end()) {
    ++found->second;
    return;
  }
  if (times_.size() < kept) {
    times_.emplace(id, 1);
    return;
  }
  for (auto at = times_.begin(); at != times_.end();)
    at = --at->second == 0 ? times_.erase(at) : std::next(at);
}

FrequentIds::Found FrequentIds::most_frequent() const {
  Found most;
  for (const auto& [id, times] : times_)
    if (times > most.times || (times == most.times && id < most.id)) most = {id, times};
  return most;
}

}  // namespace lime
