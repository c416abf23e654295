// DeviceBuffer: uninitialised device memory that only grows, so that a steady state allocates nothing.
// Internal to embeddings/.
#pragma once

#include <cstdint>
#include <memory>
#include <type_traits>

#include "runtime/memory.h"

namespace lime {

template <typename T>
class DeviceBuffer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  // At least `count` elements; what was in the buffer is lost where it had to grow. Growing waits for the
  // device: work that still uses the old memory ends first.
  T* discard_and_reserve(Device device, int64_t count) {
    if (count > capacity_) {
      memory_.reset();
      capacity_ = 0;
      const int64_t wanted = count + count / 4;  // steps differ a little
      memory_ = allocate_memory(device, static_cast<size_t>(wanted) * sizeof(T));
      capacity_ = wanted;
    }
    return data();
  }
  T* data() const { return static_cast<T*>(memory_.get()); }
  int64_t bytes() const { return capacity_ * static_cast<int64_t>(sizeof(T)); }

 private:
  std::shared_ptr<void> memory_;
  int64_t capacity_ = 0;
};

}  // namespace lime
