#include "io/value_counters.h"

#include <cmath>
#include <iterator>

#include "runtime/philox.h"

namespace lime {

void DistinctCounter::add(int64_t id) {
  const uint64_t hash = mix64(static_cast<uint64_t>(id));
  if (least_.size() == kept && hash >= greatest_.top()) return;
  if (!least_.insert(hash).second) return;
  greatest_.push(hash);
  if (least_.size() <= kept) return;
  least_.erase(greatest_.top());
  greatest_.pop();
}

int64_t DistinctCounter::count() const {
  if (is_exact()) return static_cast<int64_t>(least_.size());
  const double share = std::ldexp(static_cast<double>(greatest_.top()), -64);  // of all hashes
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
