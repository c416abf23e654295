// Gradients against central finite differences in f64, five points; and what tests of layers read and write
// tensors by, on any device.
//
// A test computes a scalar objective (usually a fixed random weighting of a layer's outputs), lets the
// layer's backward fill gradients, and registers each input and parameter with its gradient. check() then
// moves entries one by one.
//
// Device memory is copied by the context of the running test (DeviceTest::context), which waits before and
// after.
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
#include "runtime/primitives.h"
#include "runtime/tensor.h"
#include "tests/support/device_support.h"

namespace lime {

inline double value_of(float x) { return static_cast<double>(x); }
inline double value_of(double x) { return x; }
inline double value_of(bf16 x) { return static_cast<double>(to_float(x)); }

// Calls f with a value of the view's element type.
template <typename F>
decltype(auto) with_element(DType dtype, F f) {
  return dtype == DType::f32 ? f(float{}) : dtype == DType::f64 ? f(double{}) : f(bf16{});
}

// Between a view and values on the host, row by row.
template <typename T>
std::vector<T> read_values(const ConstView& x) {
  Context host;
  return to_host<T>(x.device() == Device{} ? host : *DeviceTest::context, x);
}
template <typename T>
void write_values(const View& x, const std::vector<T>& values) {
  if (x.empty()) return;
  Context host;
  Context& ctx = x.device() == Device{} ? host : *DeviceTest::context;
  copy(ctx, ConstView(values.data(), x.rows(), x.cols()), x);
  ctx.synchronize();
}

// All values, row by row.
inline std::vector<double> values_of(const ConstView& x) {
  std::vector<double> values;
  with_element(x.dtype(), [&]<typename T>(T) {
    for (const T value : read_values<T>(x)) values.push_back(value_of(value));
  });
  return values;
}
inline void set_values(const View& x, const std::vector<double>& values) {
  with_element(x.dtype(), [&]<typename T>(T) {
    std::vector<T> rounded;
    for (const double value : values) {
      if constexpr (std::is_same_v<T, bf16>) {
        rounded.push_back(to_bf16(static_cast<float>(value)));
      } else {
        rounded.push_back(static_cast<T>(value));
      }
    }
    write_values(x, rounded);
  });
}

inline double value_at(const ConstView& x, int64_t r, int64_t c) {
  if (x.device() == Device{})
    return with_element(x.dtype(), [&]<typename T>(T) { return value_of(x.row<T>(r)[c]); });
  return values_of(x.slice_rows(r, r + 1).slice_cols(c, c + 1))[0];
}
inline void set_value(const View& x, int64_t r, int64_t c, double value) {
  set_values(x.slice_rows(r, r + 1).slice_cols(c, c + 1), {value});
}

// Fills with normal numbers, the same for all types up to rounding.
inline void fill_random(View x, uint64_t seed, double deviation = 1.0) {
  const Philox random(seed, stream_of("test"));
  std::vector<double> values;
  for (int64_t i = 0; i < x.size(); ++i)
    values.push_back(deviation * random.normal(static_cast<uint64_t>(i)));
  set_values(x, values);
}

inline Tensor random_tensor(const Context& ctx, int64_t rows, int64_t cols, uint64_t seed,
                            double deviation = 1.0) {
  Tensor t(ctx.device(), ctx.dtype(), rows, cols);
  fill_random(t, seed, deviation);
  return t;
}

// sum of a . b, in f64
inline double dot(const ConstView& a, const ConstView& b) {
  const std::vector<double> x = values_of(a), y = values_of(b);
  double sum = 0;
  for (size_t i = 0; i < x.size(); ++i) sum += x[i] * y[i];
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
    for (auto& p : store.all()) add(p.name, p.master, p.grad);
  }

  // Relative to the larger of the two derivatives, or to a hundredth of the buffer's largest one where both
  // are small.
  void check(const std::function<double()>& objective) const {
    for (const Buffer& b : buffers_) {
      const int64_t size = b.value.size(), step = std::max<int64_t>(1, size / samples_);
      const std::vector<double> grad = values_of(b.grad);
      double largest = 0;
      for (const double g : grad) largest = std::max(largest, std::abs(g));
      for (int64_t i = 0; i < size; i += step) {
        const int64_t r = i / b.value.cols(), c = i % b.value.cols();
        const double saved = value_at(b.value, r, c), h = 5e-4 * std::max(1.0, std::abs(saved));
        const auto at = [&](double value) { return set_value(b.value, r, c, value), objective(); };
        // Fourth order: with this h its error (h^4) and rounding (1e-16 / h) are both about 1e-13 of the
        // objective.
        const double near = at(saved + h) - at(saved - h), far = at(saved + 2 * h) - at(saved - 2 * h);
        set_value(b.value, r, c, saved);
        const double numeric = (8 * near - far) / (12 * h), analytic = grad[static_cast<size_t>(i)];
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
