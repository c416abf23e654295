// How often this process asked a CUDA device for what makes host or device wait: memory, the end of its work,
// a product's algorithm. For tests: once its memory has grown, a training step does none of it
// (tests/layers/step_test.cc).
//
// Counted by the implementations of cuda_device.h, which all device memory, streams and events come from, and
// by gemm_cuda.cc.
#pragma once

#include <atomic>
#include <cstdint>

namespace lime::cuda {

struct DeviceCalls {
  std::atomic<int64_t> allocations = 0;  // of device memory or page-locked host memory
  std::atomic<int64_t> frees = 0;        // of either; they wait for the device
  std::atomic<int64_t> waits = 0;        // of the host: Stream::synchronize, Event::synchronize
  std::atomic<int64_t> searches = 0;     // cuBLASLt's for an algorithm
};
inline DeviceCalls device_calls;

}  // namespace lime::cuda
