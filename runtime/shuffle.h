// Orders drawn by counter-based random numbers.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "runtime/philox.h"

namespace lime {

// Fisher-Yates with random numbers at positions base + 1 .. base + size - 1.
template <typename T>
void shuffle(std::vector<T>& values, const Philox& random, int64_t base = 0) {
  for (size_t i = values.size(); i-- > 1;)
    std::swap(values[i], values[random.below(i + 1, static_cast<uint64_t>(base) + i)]);
}

}  // namespace lime
