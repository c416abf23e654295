// CUB for a build whose devices are emulated (runtime/emulator/cub.cc): of the library what the project uses.
// Contract: CUB's documentation. Null scratch memory asks for the bytes it must have, and nothing else is
// done.
#pragma once

#include <cstddef>
#include <cstdint>

#include "runtime/emulator/toolkit/cuda_runtime_api.h"

namespace cub {

template <typename T>
struct DoubleBuffer {
  T* d_buffers[2] = {};
  int selector = 0;  // which of them holds the values
  DoubleBuffer(T* current, T* alternate) : d_buffers{current, alternate} {}
  T* Current() { return d_buffers[selector]; }
  T* Alternate() { return d_buffers[selector ^ 1]; }
};

struct DeviceRadixSort {
  // Sorts stably by bits [begin, end) of the keys. The selectors say where the result is; the other buffers
  // lose what they held.
  static cudaError_t SortPairs(void* scratch, size_t& bytes, DoubleBuffer<uint64_t>& keys,
                               DoubleBuffer<uint32_t>& values, int count, int begin_bit, int end_bit,
                               cudaStream_t);
};

}  // namespace cub
