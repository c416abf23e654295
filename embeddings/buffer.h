// Buffer: uninitialised memory that only grows, so that a step's scratch is allocated once. Internal to
// embeddings/.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <type_traits>
#include <utility>

#include "runtime/host_memory.h"

namespace lime {

struct FreeMemory {
  void operator()(void* memory) const { std::free(memory); }
};

template <typename T>
class Buffer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  // At least `count` elements; what was in the buffer is lost where it had to grow.
  T* discard_and_reserve(int64_t count) {
    if (count > capacity_) {
      memory_.reset();
      capacity_ = 0;
      allocate(count);
    }
    return data();
  }
  // At least `count` elements; the first `used` are kept.
  T* reserve(int64_t count, int64_t used) {
    if (count > capacity_) {
      auto old = std::move(memory_);
      allocate(std::max(count, capacity_ + capacity_ / 2));
      if (used > 0) std::memcpy(memory_.get(), old.get(), static_cast<size_t>(used) * sizeof(T));
    }
    return data();
  }

  T* data() { return memory_.get(); }
  const T* data() const { return memory_.get(); }
  T& operator[](int64_t i) { return memory_.get()[i]; }
  const T& operator[](int64_t i) const { return memory_.get()[i]; }
  int64_t capacity() const { return capacity_; }
  int64_t bytes() const { return capacity_ * static_cast<int64_t>(sizeof(T)); }

 private:
  void allocate(int64_t count) {
    memory_.reset(static_cast<T*>(allocate_uninitialised(static_cast<size_t>(count) * sizeof(T))));
    capacity_ = count;
  }

  std::unique_ptr<T, FreeMemory> memory_;
  int64_t capacity_ = 0;
};

}  // namespace lime
