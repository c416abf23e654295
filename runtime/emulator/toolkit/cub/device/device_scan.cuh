// CUB for a build whose devices are emulated: device_radix_sort.cuh.
#pragma once

#include <cstddef>
#include <cstdint>

#include "runtime/emulator/toolkit/cuda_runtime_api.h"

namespace cub {

struct DeviceScan {
  // sums[i] = values[0] + .. + values[i]. In place ok.
  static cudaError_t InclusiveSum(void* scratch, size_t& bytes, const uint64_t* values, uint64_t* sums,
                                  int count, cudaStream_t);
};

}  // namespace cub
