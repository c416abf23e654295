// Time, and what this machine's memory gives: what figures are compared with.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstring>
#include <vector>

#include "runtime/context.h"
#include "runtime/tensor.h"

namespace lime {

inline double now_ms() {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

inline double median(std::vector<double> x) {
  std::nth_element(x.begin(), x.begin() + static_cast<std::ptrdiff_t>(x.size() / 2), x.end());
  return x[x.size() / 2];
}

// The rate of copies of 256 MiB, in bytes read and written a millisecond; sampled between what is compared
// with it, as a shared machine's memory is faster at one time than at another.
class CopyRate {
 public:
  void sample() {
    const double begin = now_ms();
    std::memcpy(to_.data(), from_.data(), from_.size());
    rates_.push_back(2.0 * static_cast<double>(from_.size()) / (now_ms() - begin));
    from_[rates_.size()] = to_[from_.size() - 1];
  }
  double best() const { return *std::max_element(rates_.begin(), rates_.end()); }
  double typical() const { return median(rates_); }

 private:
  std::vector<char> from_ = std::vector<char>(size_t{256} << 20, 1), to_ = std::vector<char>(from_.size(), 2);
  std::vector<double> rates_;
};

// ... of a CUDA device, within its memory.
class DeviceCopyRate {
 public:
  explicit DeviceCopyRate(Context& ctx)
      : ctx_(ctx), from_(ctx.device(), DType::f32, 1, floats), to_(ctx.device(), DType::f32, 1, floats) {}
  void sample() {
    constexpr int copies = 10;  // beside which starting and waiting are nothing
    constexpr size_t bytes = floats * sizeof(float);
    ctx_.synchronize();
    const double begin = now_ms();
    for (int i = 0; i < copies; ++i) ctx_.stream().copy(from_.view().raw(), to_.view().raw(), bytes);
    ctx_.synchronize();
    rates_.push_back(2.0 * copies * static_cast<double>(bytes) / (now_ms() - begin));
  }
  double best() const { return *std::max_element(rates_.begin(), rates_.end()); }

 private:
  static constexpr int64_t floats = int64_t{1} << 28;  // a gigabyte: beyond any cache
  Context& ctx_;
  Tensor from_, to_;
  std::vector<double> rates_;
};

}  // namespace lime
