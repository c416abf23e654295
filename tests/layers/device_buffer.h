// For tests of attention kernels on a CUDA device: what a kernel reads and writes beside the same in f64 on
// the host. Inputs have NaNs around them, outputs guard values.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "tests/layers/gradient_check.h"

namespace lime {

// How far results may be from the reference: of the value itself, and of the root mean square of its
// request, over which errors of the sums' terms are spread like the terms.
struct Tolerance {
  double relative, spread, absolute = 0;
};
// rows x cols on the device under test and, in f64, on the host, with two rows and `guard` columns around.
class Buffer {
 public:
  Buffer(const Buffer& other)
      : Buffer(other.ctx_, other.device_.view().dtype(), other.rows_, other.cols_, other.guard_, 0) {
    host_ = other.host_;
    upload();
  }
  Buffer(Context& ctx, DType type, int64_t rows, int64_t cols, int64_t guard, double outside)
      : ctx_(ctx),
        rows_(rows),
        cols_(cols),
        guard_(guard),
        host_(static_cast<size_t>((rows + 2) * (cols + 2 * guard)), outside),
        device_(ctx.device(), type, rows + 2, cols + 2 * guard) {}
  static Buffer input(Context& ctx, DType type, int64_t rows, int64_t cols, int64_t guard, uint64_t seed,
                      double deviation = 1) {
    Buffer b(ctx, type, rows, cols, guard, NAN);
    fill_random(b.reference(), seed, deviation);
    b.upload();
    b.read();  // as rounded
    return b;
  }
  static Buffer output(Context& ctx, DType type, int64_t rows, int64_t cols, int64_t guard, double start) {
    Buffer b(ctx, type, rows, cols, guard, 7);
    for (int64_t r = 0; r < rows; ++r) std::fill_n(b.reference().row<double>(r), cols, start);
    b.upload();
    return b;
  }

  View reference() {
    return View(host_.data(), rows_ + 2, cols_ + 2 * guard_)
        .slice_rows(1, rows_ + 1)
        .slice_cols(guard_, guard_ + cols_);
  }
  View device() const { return device_.view().slice_rows(1, rows_ + 1).slice_cols(guard_, guard_ + cols_); }
  // All of it, guards too.
  std::vector<double> download() const {
    Tensor wide(ctx_.device(), DType::f64, device_.rows(), device_.cols());
    copy(ctx_, device_.view(), wide);
    return to_host<double>(ctx_, wide.view());
  }
  void upload() {
    const Tensor wide = to_device(ctx_, host_, rows_ + 2);
    copy(ctx_, wide.view(), device_);
  }
  void read() { host_ = download(); }
  // this += factor * other
  void add(double factor, const Buffer& other) {
    for (size_t i = 0; i < host_.size(); ++i) host_[i] += factor * other.host_[i];
    upload();
  }
  // Groups of rows begin at `offsets`.
  void expect_near(const std::vector<int64_t>& offsets, Tolerance tolerance, const char* what) {
    const std::vector<double> got = download();
    const int64_t stride = cols_ + 2 * guard_;
    const auto inside = [&](int64_t i) {
      const int64_t r = i / stride - 1, c = i % stride - guard_;
      return r >= 0 && r < rows_ && c >= 0 && c < cols_;
    };
    for (size_t i = 0; i < got.size(); ++i) {
      if (!inside(static_cast<int64_t>(i))) {
        ASSERT_EQ(got[i], 7) << what << ": guard at " << i;
      }
    }
    const View want = reference();
    for (size_t g = 0; g + 1 < offsets.size(); ++g) {
      double squares = 0;
      for (int64_t r = offsets[g]; r < offsets[g + 1]; ++r)
        for (int64_t c = 0; c < cols_; ++c) squares += std::pow(value_at(want, r, c), 2);
      const double rms = std::sqrt(
          squares / static_cast<double>(std::max<int64_t>(1, (offsets[g + 1] - offsets[g]) * cols_)));
      for (int64_t r = offsets[g]; r < offsets[g + 1]; ++r)
        for (int64_t c = 0; c < cols_; ++c) {
          const double w = value_at(want, r, c);
          ASSERT_NEAR(got[static_cast<size_t>((r + 1) * stride + guard_ + c)], w,
                      tolerance.relative * std::abs(w) + tolerance.spread * rms + tolerance.absolute)
              << what << ": row " << r << ", column " << c;
        }
    }
  }

 private:
  Context& ctx_;
  int64_t rows_, cols_, guard_;
  std::vector<double> host_;
  Tensor device_;
};

}  // namespace lime
