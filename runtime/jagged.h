// Jagged shapes: B segments of different lengths laid end to end, without padding.
#pragma once

#include <cstdint>
#include <span>

#include "runtime/error.h"

namespace lime {

// Borrows offsets of length B+1 (offsets[0] = 0, non-decreasing): segment b is rows [offsets[b], offsets[b+1]).
// `host` is always set; `device` is the same array in device memory, where the context's device is not the CPU.
class Jagged {
 public:
  Jagged() = default;
  explicit Jagged(std::span<const int64_t> host, const int64_t* device = nullptr)
      : host_(host), device_(device ? device : host.data()) {
    LIME_CHECK(!host.empty() && host.front() == 0, "jagged offsets must start at 0");
  }

  int64_t segments() const { return host_.empty() ? 0 : static_cast<int64_t>(host_.size()) - 1; }
  int64_t rows() const { return host_.empty() ? 0 : host_.back(); }
  int64_t begin(int64_t b) const { return host_[static_cast<size_t>(b)]; }
  int64_t end(int64_t b) const { return host_[static_cast<size_t>(b) + 1]; }
  int64_t length(int64_t b) const { return end(b) - begin(b); }
  std::span<const int64_t> host() const { return host_; }
  const int64_t* device() const { return device_; }

 private:
  std::span<const int64_t> host_;
  const int64_t* device_ = nullptr;
};

}  // namespace lime
