#include "io/id_overlap.h"

#include <algorithm>

#include "runtime/philox.h"

namespace lime {
namespace {

constexpr size_t most_ids = 65536;

}  // namespace

void IdOverlap::Sample::add(int64_t id) {
  const uint64_t hash = mix64(static_cast<uint64_t>(id));
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
