#include <limits>

#include "tests/runtime/kernel_case.h"

namespace lime {
namespace {

class Elementwise : public KernelTest {
 protected:
  // Two inputs, an output with values of its own, over all shapes and gaps.
  template <typename T, typename F>
  void over_shapes(F f) {
    for (const Shape s : odd_shapes()) {
      for (const int64_t gap : {s.gap, int64_t{0}}) {
        Guarded<T> a(s.rows, s.cols, gap), b(s.rows, s.cols, s.gap), y(s.rows, s.cols, s.gap);
        f(a.random(1, 4), b.random(2), y.random(3));
        a.expect_guards("a");
        b.expect_guards("b");
      }
    }
  }
};
LIME_INSTANTIATE_KERNEL_TEST(Elementwise);

Real sigmoid(Real x) { return 1 / (1 + std::exp(-x)); }
Real silu_reference(Real x) { return x * sigmoid(x); }
Real silu_slope_reference(Real x) { return sigmoid(x) * (1 + x * (1 - sigmoid(x))); }

TEST_P(Elementwise, Arithmetic) {
  run([&]<typename T>(T) {
    over_shapes<T>([&](Guarded<T>& a, Guarded<T>& b, Guarded<T>& y) {
      const Guarded<T> old = y;
      add(ctx, a.view(), y);
      y.expect([&](int64_t i, int64_t j) { return T(old.at(i, j) + a.at(i, j)); }, 0, "add");
      y = old;
      scale(ctx, 0.25, y);
      y.expect([&](int64_t i, int64_t j) { return old.at(i, j) / 4; }, 0, "scale");
      multiply(ctx, a.view(), b.view(), y);
      y.expect([&](int64_t i, int64_t j) { return T(a.at(i, j) * b.at(i, j)); }, 0, "multiply");
      y = old;
      multiply_add(ctx, a.view(), b.view(), y);
      y.expect([&](int64_t i, int64_t j) { return Real{old.at(i, j)} + Real{a.at(i, j)} * b.at(i, j); },
               ulps<T>(2), "multiply_add");
      fill(ctx, y, 3.5);
      y.expect([](int64_t, int64_t) { return 3.5; }, 0, "fill");
      copy(ctx, a.view(), y);
      y.expect([&](int64_t i, int64_t j) { return a.at(i, j); }, 0, "copy");
    });
  });
}

TEST_P(Elementwise, InPlace) {
  run([&]<typename T>(T) {
    over_shapes<T>([&](Guarded<T>& a, Guarded<T>& b, Guarded<T>& y) {
      const Guarded<T> a0 = a, b0 = b;
      multiply(ctx, a.view(), b.view(), a.view());
      a.expect([&](int64_t i, int64_t j) { return T(a0.at(i, j) * b0.at(i, j)); }, 0, "multiply into a");
      a = a0;
      multiply(ctx, a.view(), b.view(), b.view());
      b.expect([&](int64_t i, int64_t j) { return T(a0.at(i, j) * b0.at(i, j)); }, 0, "multiply into b");
      b = b0;
      silu(ctx, a.view(), y);
      silu(ctx, a.view(), a.view());
      a.expect([&](int64_t i, int64_t j) { return y.at(i, j); }, 0, "silu in place");
      a = a0;
      silu_backward(ctx, a.view(), b.view(), y);
      silu_backward(ctx, a.view(), b.view(), b.view());
      b.expect([&](int64_t i, int64_t j) { return y.at(i, j); }, 0, "silu_backward in place");
    });
  });
}

TEST_P(Elementwise, CopyConverts) {
  Guarded<float> x(3, 17, 2), back(3, 17, 1);
  Guarded<double> y(3, 17, 5);
  copy(ctx, x.random(1).view(), y);
  y.expect([&](int64_t i, int64_t j) { return x.at(i, j); }, 0, "f32 to f64");
  copy(ctx, y.view(), back);
  back.expect([&](int64_t i, int64_t j) { return x.at(i, j); }, 0, "f64 to f32");
  const std::vector<int64_t> values = {1, -2, int64_t{1} << 60};
  const Tensor ids = to_device(ctx, values), copies(ctx.device(), DType::i64, 1, 3);
  copy(ctx, ids.view(), copies);
  EXPECT_EQ(to_host<int64_t>(ctx, copies.view()), values);
  EXPECT_THROW(copy(ctx, ids.view(), x.view().slice_rows(0, 1).slice_cols(0, 3)), Error);
}

TEST_P(Elementwise, Silu) {
  run([&]<typename T>(T) {
    over_shapes<T>([&](Guarded<T>& a, Guarded<T>& b, Guarded<T>& y) {
      silu(ctx, a.view(), y);
      y.expect([&](int64_t i, int64_t j) { return silu_reference(a.at(i, j)); }, ulps<T>(4), "silu");
      silu_backward(ctx, a.view(), b.view(), y);
      y.expect([&](int64_t i, int64_t j) { return b.at(i, j) * silu_slope_reference(a.at(i, j)); },
               ulps<T>(4), "silu_backward");
    });
  });
}

// Relative error over the whole range, where the result is not within 1e-30 of zero.
TEST_P(Elementwise, SiluIsAccurateFromEndToEnd) {
  run([&]<typename T>(T) {
    const int64_t n = 200'000;
    const Real low = sizeof(T) == 4 ? -75 : -690, high = sizeof(T) == 4 ? 120 : 800;
    Guarded<T> x(1, n), y(1, n), slope_at(1, n), ones(1, n);
    x.set([&](int64_t, int64_t j) { return low + (high - low) * static_cast<Real>(j) / (n - 1); });
    ones.set([](int64_t, int64_t) { return 1; });
    silu(ctx, x.view(), y);
    silu_backward(ctx, x.view(), ones.view(), slope_at);
    Real worst = 0, worst_slope = 0;
    for (int64_t j = 0; j < n; ++j) {
      const Real want = silu_reference(x.at(0, j)), want_slope = silu_slope_reference(x.at(0, j));
      if (want != 0) worst = std::max(worst, std::abs(y.at(0, j) / want - 1));
      // Near its root, at -1.278, the slope is a difference of large terms.
      worst_slope = std::max(worst_slope, std::abs(slope_at.at(0, j) - want_slope) /
                                              std::max(std::abs(want_slope), 0.1L * sigmoid(x.at(0, j))));
    }
    RecordProperty("silu_ulp", str(worst / std::numeric_limits<T>::epsilon()));
    RecordProperty("silu_slope_ulp", str(worst_slope / std::numeric_limits<T>::epsilon()));
    // A GPU's exponential is off by up to two, its reciprocal by one.
    EXPECT_LE(worst, ulps<T>(ctx.device() == Device{} ? 2.5 : 4.5));
    EXPECT_LE(worst_slope, ulps<T>(60));
  });
}

TEST_P(Elementwise, SiluAtTheEndsOfTheNumbers) {
  run([&]<typename T>(T) {
    using Limits = std::numeric_limits<T>;
    Guarded<T> x(1, 8), y(1, 8), dx(1, 8), ones(1, 8);
    const T values[] = {Limits::infinity(),   -Limits::infinity(),
                        Limits::max(),        Limits::lowest(),
                        Limits::quiet_NaN(),  T(0),
                        Limits::denorm_min(), T(-200)};
    x.set([&](int64_t, int64_t j) { return values[j]; });
    ones.set([](int64_t, int64_t) { return 1; });
    silu(ctx, x.view(), y);
    silu_backward(ctx, x.view(), ones.view(), dx);
    EXPECT_EQ(y.at(0, 0), Limits::infinity());
    EXPECT_EQ(y.at(0, 2), Limits::max());
    for (const int64_t low : {1, 3, 7}) {
      EXPECT_NEAR(static_cast<double>(y.at(0, low)), 0, 1e-35) << values[low];
      EXPECT_NEAR(static_cast<double>(dx.at(0, low)), 0, 1e-35) << values[low];
    }
    EXPECT_TRUE(std::isnan(y.at(0, 4)));
    EXPECT_TRUE(std::isnan(dx.at(0, 4)));
    EXPECT_EQ(y.at(0, 5), 0);
    EXPECT_EQ(dx.at(0, 5), T(0.5));
    EXPECT_NEAR(static_cast<double>(dx.at(0, 0)), 1, 1e-6);
    EXPECT_NEAR(static_cast<double>(dx.at(0, 2)), 1, 1e-6);
  });
}

TEST_P(Elementwise, Reductions) {
  run([&]<typename T>(T) {
    over_shapes<T>([&](Guarded<T>& a, Guarded<T>&, Guarded<T>&) {
      Real want = 0;
      for (int64_t i = 0; i < a.rows(); ++i) {
        for (int64_t j = 0; j < a.cols(); ++j) want += Real{a.at(i, j)} * a.at(i, j);
      }
      EXPECT_NEAR(host_sum_of_squares(ctx, a.view()), static_cast<double>(want),
                  1e-12 * (1 + static_cast<double>(want)));
    });
  });
}

}  // namespace
}  // namespace lime
