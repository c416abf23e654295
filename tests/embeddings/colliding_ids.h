// Ids chosen against the hash.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/philox.h"

namespace lime {

// The x for which mix64(x) is `hash`.
inline uint64_t inverse_mix64(uint64_t hash) {
  const auto unshift = [](uint64_t x, int by) {
    uint64_t y = x;
    for (int done = by; done < 64; done += by) y = x ^ (y >> by);
    return y;
  };
  const auto inverse = [](uint64_t odd) {  // modulo 2^64, Newton
    uint64_t x = odd;
    for (int i = 0; i < 6; ++i) x *= 2 - odd * x;
    return x;
  };
  hash = unshift(hash, 31) * inverse(0x94d049bb133111ebull);
  hash = unshift(hash, 27) * inverse(0xbf58476d1ce4e5b9ull);
  return unshift(hash, 30) - 0x9e3779b97f4a7c15ull;
}

// n ids >= 0 whose hashes agree in the top 24 and the low 24 bits: one bucket, and one place in any table of
// up to 2^24.
inline std::vector<int64_t> colliding_ids(size_t n) {
  std::vector<int64_t> ids;
  for (uint64_t middle = 0; ids.size() < n; ++middle) {
    const auto id = static_cast<int64_t>(inverse_mix64(0x5a5a5aull << 40 | middle << 24 | 0xabcdefull));
    if (id >= 0) ids.push_back(id);
  }
  return ids;
}

}  // namespace lime
