// Memory of any device, as Tensor and Arena hold it, and host memory for copies.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "runtime/device.h"

namespace lime {

// Uninitialised, 64-byte aligned or better; freed with the last owner. Throws Error, naming the size, where
// the device has no more.
std::shared_ptr<void> allocate_memory(Device device, size_t bytes);

// Host memory for copies from and to `near`: page-locked where that is a CUDA device, so that copies run
// beside host code; ordinary memory on the CPU. Uninitialised. What is copied into it is there after
// Context::synchronize().
class PinnedBuffer {
 public:
  PinnedBuffer(Device near, size_t bytes);

  void* data() const { return memory_.get(); }
  size_t size() const { return bytes_; }
  // As an array of T, as many as fit.
  template <typename T>
  std::span<T> as() const {
    return {static_cast<T*>(data()), bytes_ / sizeof(T)};
  }

 private:
  std::shared_ptr<void> memory_;
  size_t bytes_;
};

}  // namespace lime
