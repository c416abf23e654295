#include "io/id_overlap.h"

#include <algorithm>

namespace lime {
namespace {

constexpr size_t most_ids = 65536;

// A permutation of 64-bit numbers: SplitMix64's.
uint64_t mixed(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

}  // namespace

void IdOverlap::Sample::add(int64_t id) {
  const uint64_t hash = mixed(static_cast<uint64_t>(id) + 0x9e3779b97f4a7c15);
  if (hash > limit_) return;
  hashes_.insert(hash);
  while (hashes_.size() > most_ids) {
    limit_ /= 2;
    std::erase_if(hashes_, [this](uint64_t held) { return held > limit_; });
  }
}

double IdOverlap::share() const {
  const uint64_t limit = std::min(asked_.limit(), known_.limit());
  int64_t asked = 0, found = 0;
  for (const uint64_t hash : asked_.hashes()) {
    if (hash > limit) continue;
    ++asked;
    found += known_.has(hash);
  }
  return asked == 0 ? 1.0 : static_cast<double>(found) / static_cast<double>(asked);
}

}  // namespace lime
