// What the tests of primitives share: every instruction set of this CPU, AMX, and CUDA where the build has
// it, times f32 and f64; matrices between guard values; and comparison with a reference in long double.
#pragma once

#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <cmath>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "runtime/context.h"
#include "runtime/kernels_amx.h"
#include "runtime/philox.h"
#include "runtime/primitives.h"
#include "tests/support/device_support.h"

namespace lime {

using Real = long double;

// rows x cols with a stride, guard values in the gaps and around, on the device under test.
//
// at() reads and writes a copy on the host, view() is the matrix on the device: whichever is newer is copied
// to the other when that is asked for. A view may therefore be written by what it was made for, and no later.
template <typename T>
class Guarded {
 public:
  Guarded(int64_t rows, int64_t cols, int64_t gap = 0)
      : rows_(rows),
        cols_(cols),
        stride_(cols + gap),
        memory_(static_cast<size_t>(margin + rows * stride_ + margin), guard) {}
  Guarded(const Guarded& other)
      : rows_(other.rows_), cols_(other.cols_), stride_(other.stride_), memory_(other.host()) {}
  Guarded& operator=(const Guarded& other) {
    rows_ = other.rows_, cols_ = other.cols_, stride_ = other.stride_;
    memory_ = other.host();
    newer_ = Side::host;
    return *this;
  }

  // Values in [-scale, scale], a function of the seed.
  Guarded& random(uint64_t seed, double scale = 1) {
    const Philox rng(seed, 7);
    return set([&](int64_t i, int64_t j) {
      return static_cast<T>(scale * (2 * rng.uniform(static_cast<uint64_t>(i * cols_ + j)) - 1));
    });
  }
  template <typename F>
  Guarded& set(F f) {
    for (int64_t i = 0; i < rows_; ++i) {
      for (int64_t j = 0; j < cols_; ++j) at(i, j) = static_cast<T>(f(i, j));
    }
    return *this;
  }

  T& at(int64_t i, int64_t j) {
    host();
    newer_ = Side::host;
    return memory_[index(i, j)];
  }
  T at(int64_t i, int64_t j) const { return host()[index(i, j)]; }
  int64_t rows() const { return rows_; }
  int64_t cols() const { return cols_; }
  View view() {
    Context& ctx = *DeviceTest::context;
    if (ctx.device() == Device{})
      return {memory_.data() + margin, dtype_of<T>(), Device{}, rows_, cols_, stride_};
    const auto size = static_cast<int64_t>(memory_.size());
    if (device_.cols() != size) device_ = Tensor(ctx.device(), dtype_of<T>(), 1, size);
    if (newer_ == Side::host) copy(ctx, ConstView(memory_.data(), 1, size), device_);
    newer_ = Side::device;
    return {device_.view().template data<T>() + margin, dtype_of<T>(), ctx.device(), rows_, cols_, stride_};
  }
  operator View() { return view(); }

  // Compares with f(i, j) to `tolerance` (relative above 1, absolute below), and checks the guards.
  template <typename F>
  void expect(F f, double tolerance, const std::string& what) const {
    host();
    for (int64_t i = 0; i < rows_; ++i) {
      for (int64_t j = 0; j < cols_; ++j) {
        const Real want = f(i, j);
        const Real error = std::abs(static_cast<Real>(at(i, j)) - want) / std::max<Real>(1, std::abs(want));
        ASSERT_LE(error, tolerance) << what << ": [" << i << ", " << j << "] of " << rows_ << "x" << cols_
                                    << " stride " << stride_ << " is " << at(i, j) << ", expected " << want;
      }
    }
    expect_guards(what);
  }
  void expect_guards(const std::string& what) const {
    host();
    for (size_t k = 0; k < memory_.size(); ++k) {
      const int64_t offset = static_cast<int64_t>(k) - margin;
      const bool inside = cols_ > 0 && offset >= 0 && offset < rows_ * stride_ && offset % stride_ < cols_;
      if (!inside) {
        ASSERT_EQ(memory_[k], guard) << what << ": wrote outside a " << rows_ << "x" << cols_ << " view, at "
                                     << offset;
      }
    }
  }

 private:
  enum class Side { host, device };
  // The values on the host.
  std::vector<T>& host() const {
    if (newer_ == Side::device) {
      Context& ctx = *DeviceTest::context;
      copy(ctx, device_.view(), View(memory_.data(), 1, static_cast<int64_t>(memory_.size())));
      ctx.synchronize();
      newer_ = Side::host;
    }
    return memory_;
  }
  size_t index(int64_t i, int64_t j) const { return static_cast<size_t>(margin + i * stride_ + j); }

  static constexpr int64_t margin = 40;  // more than two of the widest vectors
  static constexpr T guard = static_cast<T>(-12345.5);
  int64_t rows_, cols_, stride_;
  mutable std::vector<T> memory_;
  Tensor device_;
  mutable Side newer_ = Side::host;
};

struct Shape {
  int64_t rows, cols, gap;
};

inline const std::vector<Shape>& odd_shapes() {
  static const std::vector<Shape> shapes = {{0, 5, 0},   {3, 0, 2},   {1, 1, 0},   {1, 7, 0},    {4, 16, 0},
                                            {5, 15, 0},  {3, 17, 3},  {7, 31, 1},  {2, 33, 0},   {9, 64, 64},
                                            {3, 100, 0}, {2, 130, 5}, {17, 8, 24}, {18, 256, 0}, {2, 640, 0}};
  return shapes;
}

struct KernelCase {
  int64_t target;  // of Highway; 0 on CUDA
  DType dtype;
  Device device;
  bool amx = false;  // of the CPU, for products of f32
};

inline std::vector<KernelCase> kernel_cases() {
  std::vector<KernelCase> cases;
  const auto add = [&](int64_t target, Device device) {
    for (const DType dtype : {DType::f32, DType::f64}) cases.push_back({target, dtype, device});
  };
  const auto targets = hwy::SupportedAndGeneratedTargets();
  for (const auto target : targets) add(target, Device{});
  if (cpu::amx_available()) cases.push_back({targets.front(), DType::f32, Device{}, true});
  for (const Device device : test_devices())
    if (device != Device{}) add(0, device);
  return cases;
}

inline std::string name_of(const testing::TestParamInfo<KernelCase>& info) {
  const auto& [target, dtype, device, amx] = info.param;
  return str(device == Device{} ? hwy::TargetName(target) : "cuda", amx ? "_AMX_" : "_", to_string(dtype));
}

class KernelTest : public DeviceTest, public testing::WithParamInterface<KernelCase> {
 protected:
  KernelTest() : DeviceTest(GetParam().device, GetParam().dtype) { use(GetParam().target, GetParam().amx); }
  ~KernelTest() override { use(0, true); }

  // Calls f with a value of the element type under test.
  template <typename F>
  void run(F f) {
    GetParam().dtype == DType::f32 ? f(float{}) : f(double{});
  }
  // `ulps` of the element type.
  template <typename T>
  static double ulps(double n) {
    return n * static_cast<double>(std::numeric_limits<T>::epsilon());
  }

 private:
  static void use(int64_t target, bool amx) {
    cpu::allow_amx(amx);
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().DeInit();
  }
};

#define LIME_INSTANTIATE_KERNEL_TEST(name) \
  INSTANTIATE_TEST_SUITE_P(Targets, name, testing::ValuesIn(kernel_cases()), name_of)

// Central difference of `loss` with respect to x[i, j] (f64), for gradient checks.
inline double slope(Guarded<double>& x, int64_t i, int64_t j, const std::function<double()>& loss,
                    double step = 1e-5) {
  const double value = x.at(i, j);
  x.at(i, j) = value + step;
  const double above = loss();
  x.at(i, j) = value - step;
  const double below = loss();
  x.at(i, j) = value;
  return (above - below) / (2 * step);
}

}  // namespace lime
