// Sorting and running sums on a CUDA device, by CUB, which the emulator has one of its own of
// (runtime/emulator/cub.cc).
#pragma once

#include <cstdint>

#include "runtime/context.h"

namespace lime::cuda {

// Pairs on the device, and as much memory again, which sorting needs.
struct KeyValues {
  uint64_t* keys;
  uint32_t* values;
};

// Sorts the pairs by bits [first_bit, last_bit) of the keys, stably; `pairs` and `other` are exchanged where
// the result is in the latter, which is lost otherwise. count < 2^31. Work on the context's stream; nobody
// waits.
void sort_pairs(Context&, KeyValues& pairs, KeyValues& other, int64_t count, int first_bit, int last_bit);

// sums[i] = values[0] + .. + values[i]. In place ok.
void running_sums(Context&, const uint64_t* values, uint64_t* sums, int64_t count);

}  // namespace lime::cuda
