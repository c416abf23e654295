// bf16: conversions, and primitives over rows stored so, against the same in f32.
#include "runtime/bf16.h"

#include <cmath>
#include <functional>

#include "runtime/linear_products.h"
#include "runtime/philox.h"
#include "tests/support/device_support.h"

namespace lime {
namespace {

TEST(Bf16, RoundsToNearestEven) {
  const float step = std::ldexp(1.0f, -7);  // of the bf16 in [1, 2)
  EXPECT_EQ(to_float(to_bf16(1)), 1);
  EXPECT_EQ(to_float(to_bf16(1 + step / 2)), 1);
  EXPECT_EQ(to_float(to_bf16(1 + 3 * step / 2)), 1 + 2 * step);
  EXPECT_EQ(to_float(to_bf16(-1 - 0.6f * step)), -1 - step);
  EXPECT_EQ(to_float(to_bf16(3.4e38f)), INFINITY);
  EXPECT_EQ(to_float(to_bf16(-INFINITY)), -INFINITY);
  EXPECT_TRUE(std::isnan(to_float(to_bf16(NAN))));
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {  // what is representable stays
    const bf16 x{static_cast<uint16_t>(bits)};
    if (!std::isnan(to_float(x))) {
      ASSERT_EQ(to_bf16(to_float(x)), x) << bits;
    }
  }
}

class Bf16On : public DeviceTest, public testing::WithParamInterface<Device> {
 protected:
  Bf16On() : DeviceTest(GetParam()) {}

  // rows x cols of bf16 with a gap between rows, from [-2, 2].
  View random(int64_t rows, int64_t cols, uint64_t seed) {
    const View view = ctx.arena().alloc(DType::bf16, rows, cols + gap).slice_cols(0, cols);
    const Philox rng(seed, 3);
    std::vector<bf16> values;
    for (int64_t i = 0; i < rows * cols; ++i)
      values.push_back(to_bf16(static_cast<float>(4 * rng.uniform(static_cast<uint64_t>(i)) - 2)));
    if (rows * cols > 0) copy(ctx, ConstView(values.data(), rows, cols), view);
    return view;
  }
  View wide(const ConstView& x) {
    const View y = ctx.arena().alloc(DType::f32, x.rows(), x.cols());
    copy(ctx, x, y);
    return y;
  }
  View parameter(int64_t rows, int64_t cols, uint64_t seed) { return wide(random(rows, cols, seed)); }
  // Half a unit of bf16 around the f32 result, and what f32 may differ by.
  void expect_rounded(const ConstView& got, const ConstView& want, const char* what) {
    const auto x = to_host<bf16>(ctx, got);
    const auto y = to_host<float>(ctx, want);
    for (size_t i = 0; i < x.size(); ++i)
      ASSERT_NEAR(to_float(x[i]), y[i], std::abs(y[i]) * 0x1p-8 + 1e-5)
          << what << " at " << i << ", " << got.cols();
  }
  void expect_equal(const ConstView& got, const ConstView& want, const char* what) {
    ASSERT_EQ(to_host<float>(ctx, got), to_host<float>(ctx, want)) << what;
  }
  void expect_close(const ConstView& got, const ConstView& want, const char* what) {
    const auto x = to_host<float>(ctx, got), y = to_host<float>(ctx, want);
    for (size_t i = 0; i < x.size(); ++i)
      ASSERT_NEAR(x[i], y[i], 1e-5 * std::max(1.0f, std::abs(y[i]))) << what;
  }
  int64_t gap = 0;
};
INSTANTIATE_TEST_SUITE_P(Devices, Bf16On, testing::ValuesIn(test_devices()), device_name);

class Bf16OnCuda : public Bf16On {};  // where bf16 is computed with
INSTANTIATE_TEST_SUITE_P(Devices, Bf16OnCuda, testing::ValuesIn(test_cuda_devices()), device_name);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Bf16OnCuda);

TEST_P(Bf16On, Converts) {
  for (const int64_t cols : {1, 8, 37}) {
    const View x = random(5, cols, 1), y = wide(x);
    const auto halves = to_host<bf16>(ctx, x);
    const auto floats = to_host<float>(ctx, y);
    for (size_t i = 0; i < halves.size(); ++i) ASSERT_EQ(floats[i], to_float(halves[i]));
    const View back = random(5, cols, 2);
    scale(ctx, 1.01, y);
    copy(ctx, y, back);
    const auto scaled = to_host<float>(ctx, y);
    const auto rounded = to_host<bf16>(ctx, back);
    for (size_t i = 0; i < scaled.size(); ++i) ASSERT_EQ(rounded[i], to_bf16(scaled[i]));
  }
}

TEST_P(Bf16OnCuda, Primitives) {
  for (const int64_t cols : {1, 8, 37, 128, 256, 1024}) {
    for (const int64_t g : {0, 3, 8}) {
      gap = g;
      const int64_t rows = 11;
      const View a = random(rows, cols, 1), b = random(rows, cols, 2), y = random(rows, cols, 3);
      const View a32 = wide(a), b32 = wide(b), y32 = wide(y);
      const auto both = [&](const char* what, const std::function<void(View, View, View)>& f) {
        const View x = random(rows, cols, 3), x32 = wide(x);
        f(a, b, x);
        f(a32, b32, x32);
        expect_rounded(x, x32, what);
      };
      both("add", [&](View u, View, View v) { add(ctx, u, v); });
      both("scale", [&](View, View, View v) { scale(ctx, 0.3, v); });
      both("multiply", [&](View u, View w, View v) { multiply(ctx, u, w, v); });
      both("multiply_add", [&](View u, View w, View v) { multiply_add(ctx, u, w, v); });
      both("silu", [&](View u, View, View v) { silu(ctx, u, v); });
      both("silu_backward", [&](View u, View w, View v) { silu_backward(ctx, u, w, v); });
      both("softmax_rows", [&](View, View, View v) { softmax_rows(ctx, v); });
      both("softmax_rows_backward", [&](View u, View w, View v) { softmax_rows_backward(ctx, u, w, v); });
      const View bias = parameter(1, cols, 4), gain = parameter(1, cols, 5);
      both("add_bias", [&](View, View, View v) { add_bias(ctx, bias, v); });
      const DeviceJagged jagged(ctx, {0, 4, 4, 11});
      const auto segments = [&](const char* what, const std::function<void(View, View)>& f) {
        const View x = random(3, cols, 6), x32 = wide(x);
        f(a, x);
        f(a32, x32);
        expect_rounded(x, x32, what);
      };
      segments("segment_mean", [&](View u, View v) { segment_mean(ctx, u, jagged, v); });
      segments("repeat_rows_backward",
               [&](View u, View v) { repeat_rows_backward(ctx, u, jagged, GradMode::accumulate, v); });
      // Parameters' gradients and statistics are f32, of the same values; a column's sum runs in the order of
      // rows, others in an order that goes with the type.
      const View sum = parameter(1, cols, 7), sum32 = wide(sum), mean = parameter(rows, 1, 8),
                 mean32 = wide(mean), rstd = parameter(rows, 1, 9), rstd32 = wide(rstd),
                 dgain = parameter(1, cols, 10), dgain32 = wide(dgain);
      column_sum(ctx, a, GradMode::accumulate, sum);
      column_sum(ctx, a32, GradMode::accumulate, sum32);
      expect_equal(sum, sum32, "column_sum");
      layer_norm(ctx, a, gain, bias, 1e-5, y, mean, rstd);
      layer_norm(ctx, a32, gain, bias, 1e-5, y32, mean32, rstd32);
      expect_rounded(y, y32, "layer_norm");
      expect_close(mean, mean32, "mean");
      expect_close(rstd, rstd32, "rstd");
      layer_norm_backward(ctx, a, gain, mean, rstd, b, GradMode::overwrite, y, GradMode::accumulate, dgain,
                          sum);
      layer_norm_backward(ctx, a32, gain, mean, rstd, b32, GradMode::overwrite, y32, GradMode::accumulate,
                          dgain32, sum32);
      expect_rounded(y, y32, "layer_norm_backward");
      expect_close(dgain, dgain32, "dgain");
      expect_close(sum, sum32, "dbias");
      EXPECT_EQ(host_sum_of_squares(ctx, a), host_sum_of_squares(ctx, a32));
    }
  }
}

TEST_P(Bf16OnCuda, ProductsIntoBf16AndF32) {
  struct Sides {
    int64_t m, n, k, gap;
  };
  // Whole packs; one column, as logits have; sides and strides that no tensor core likes.
  for (const Sides p :
       {Sides{24, 16, 40, 0}, {70, 1, 128, 0}, {1, 1, 1, 0}, {5, 3, 37, 1}, {64, 33, 97, 2}}) {
    gap = p.gap;
    for (const bool ta : {false, true}) {
      for (const bool tb : {false, true}) {
        const View a = random(ta ? p.k : p.m, ta ? p.m : p.k, 1),
                   b = random(tb ? p.n : p.k, tb ? p.k : p.n, 2), c = random(p.m, p.n, 3);
        const View c32 = parameter(p.m, p.n, 3), want = parameter(p.m, p.n, 3);
        const auto product = [&](const ConstView& u, const ConstView& v, View out) {
          gemm(ctx, ta ? Transpose::yes : Transpose::no, tb ? Transpose::yes : Transpose::no, 0.5, u, v, 2,
               out);
        };
        product(a, b, c);
        product(a, b, c32);
        product(wide(a), wide(b), want);
        expect_rounded(c, want, "into bf16");
        const auto x = to_host<float>(ctx, c32), y = to_host<float>(ctx, want);
        for (size_t i = 0; i < x.size(); ++i)
          ASSERT_NEAR(x[i], y[i], 1e-4)
              << p.m << "x" << p.n << "x" << p.k << (ta ? " T" : " N") << (tb ? "T" : "N");
      }
    }
  }
}

// A bias of f32 goes with rows of either type, its gradient, of f32, with products into f32.
// Wherever the library splits it: parts of 63 ones that are added in bf16 make 636, and 630 is 632 there.
TEST_P(Bf16OnCuda, ALongSumIsRoundedOnce) {
  const Tensor ones(ctx.device(), DType::bf16, 630, 2), sums(ctx.device(), DType::bf16, 2, 2);
  fill(ctx, ones.view(), 1);
  gemm(ctx, Transpose::yes, Transpose::no, 1, ones.view(), ones.view(), 0, sums.view());
  for (const bf16 sum : to_host<bf16>(ctx, sums.view())) EXPECT_EQ(to_float(sum), 632);
}

TEST_P(Bf16OnCuda, ProductsWithBias) {
  const int64_t m = 24, n = 16, k = 40;
  const View x = random(m, k, 1), w = random(k, n, 2), bias = parameter(1, n, 3), y = random(m, n, 4),
             y32 = parameter(m, n, 4), want = parameter(m, n, 4);
  gemm_bias(ctx, x, w, bias, y);
  gemm_bias(ctx, x, w, bias, y32);
  gemm_bias(ctx, wide(x), wide(w), bias, want);
  const auto expect_near = [&](const ConstView& got, const ConstView& expected, double distance,
                               const char* what) {
    const auto u = to_host<float>(ctx, got), v = to_host<float>(ctx, expected);
    for (size_t i = 0; i < u.size(); ++i) ASSERT_NEAR(u[i], v[i], distance) << what;
  };
  expect_near(wide(y), want, 32 * 0x1p-8, "bf16");  // of at most 32, bias and sum rounded
  expect_near(y32, want, 1e-4, "f32");
  const View in_rows = random(1, n, 3), alike = random(m, n, 8);
  copy(ctx, bias, in_rows);
  gemm_bias(ctx, x, w, {bias, in_rows}, alike);
  EXPECT_EQ(to_host<float>(ctx, wide(alike)), to_host<float>(ctx, wide(y)));  // the rounding is the same

  const View dy = random(m, n, 5), dw = parameter(k, n, 6), dw32 = wide(dw), dbias = parameter(1, n, 7),
             dbias32 = wide(dbias);
  gemm_bias_gradient(ctx, x, dy, dw, dbias);
  gemm_bias_gradient(ctx, wide(x), wide(dy), dw32, dbias32);
  expect_near(dw, dw32, 1e-4, "weight gradient");
  expect_near(dbias, dbias32, 1e-4, "bias gradient");
}

}  // namespace
}  // namespace lime
