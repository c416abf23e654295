// How much memory a CUDA device has left, for messages. Implemented where cuda_device.h is.
#pragma once

#include <cstddef>

namespace lime::cuda {

struct DeviceMemory {
  size_t free = 0, total = 0;
};
DeviceMemory device_memory(int index);

}  // namespace lime::cuda
