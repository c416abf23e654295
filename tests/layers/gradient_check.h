// Gradients against central finite differences in f64, five points.
//
// A test computes a scalar objective (usually a fixed random weighting of a layer's outputs), lets the
// layer's backward fill gradients, and registers each input and parameter with its gradient. check() then
// moves entries one by one.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "layers/parameter.h"
#include "runtime/context.h"
#include "runtime/philox.h"
#include "runtime/tensor.h"

namespace lime {

// Fills with normal numbers, the same for f32 and f64 up to rounding.
inline void fill_random(View x, uint64_t seed, double deviation = 1.0) {
  const Philox random(seed, stream_of("test"));
  for (int64_t r = 0; r < x.rows(); ++r)
    for (int64_t c = 0; c < x.cols(); ++c) {
      const double value = deviation * random.normal(static_cast<uint64_t>(r * x.cols() + c));
      if (x.dtype() == DType::f32)
        x.row<float>(r)[c] = static_cast<float>(value);
      else
        x.row<double>(r)[c] = value;
    }
}

inline Tensor random_tensor(const Context& ctx, int64_t rows, int64_t cols, uint64_t seed,
                            double deviation = 1.0) {
  Tensor t(ctx.device(), ctx.dtype(), rows, cols);
  fill_random(t, seed, deviation);
  return t;
}

inline double value_at(const ConstView& x, int64_t r, int64_t c) {
  return x.dtype() == DType::f32 ? static_cast<double>(x.row<float>(r)[c]) : x.row<double>(r)[c];
}

// sum of a . b, in f64
inline double dot(const ConstView& a, const ConstView& b) {
  double sum = 0;
  for (int64_t r = 0; r < a.rows(); ++r)
    for (int64_t c = 0; c < a.cols(); ++c) sum += value_at(a, r, c) * value_at(b, r, c);
  return sum;
}

// Offsets of a jagged shape from lengths.
inline std::vector<int64_t> offsets_of(const std::vector<int64_t>& lengths) {
  std::vector<int64_t> offsets{0};
  for (const int64_t n : lengths) offsets.push_back(offsets.back() + n);
  return offsets;
}

class GradientCheck {
 public:
  // At most `samples` entries of each buffer are moved, spread over it.
  explicit GradientCheck(int64_t samples = 40, double tolerance = 1e-6)
      : samples_(samples), tolerance_(tolerance) {}

  void add(std::string name, View value, View grad) { buffers_.push_back({std::move(name), value, grad}); }
  void add(ParameterStore& store) {
    for (auto& p : store.all()) add(p.name, p.value, p.grad);
  }

  // Relative to the larger of the two derivatives, or to a hundredth of the buffer's largest one where both
  // are small.
  void check(const std::function<double()>& objective) const {
    for (const Buffer& b : buffers_) {
      const int64_t size = b.value.size(), step = std::max<int64_t>(1, size / samples_);
      double largest = 0;
      for (int64_t r = 0; r < b.grad.rows(); ++r)
        for (int64_t c = 0; c < b.grad.cols(); ++c)
          largest = std::max(largest, std::abs(value_at(b.grad, r, c)));
      for (int64_t i = 0; i < size; i += step) {
        const int64_t r = i / b.value.cols(), c = i % b.value.cols();
        double& x = b.value.row<double>(r)[c];
        const double saved = x, h = 5e-4 * std::max(1.0, std::abs(saved));
        const auto at = [&](double value) { return x = value, objective(); };
        // Fourth order: with this h its error (h^4) and rounding (1e-16 / h) are both about 1e-13 of the
        // objective.
        const double near = at(saved + h) - at(saved - h), far = at(saved + 2 * h) - at(saved - 2 * h);
        x = saved;
        const double numeric = (8 * near - far) / (12 * h), analytic = b.grad.row<double>(r)[c];
        const double scale = std::max({std::abs(numeric), std::abs(analytic), 0.01 * largest, 1e-6});
        ASSERT_LE(std::abs(numeric - analytic), tolerance_ * scale)
            << b.name << "[" << r << "," << c << "]: finite difference " << numeric << ", backward "
            << analytic;
      }
    }
  }

 private:
  struct Buffer {
    std::string name;
    View value, grad;
  };
  int64_t samples_;
  double tolerance_;
  std::vector<Buffer> buffers_;
};

}  // namespace lime
