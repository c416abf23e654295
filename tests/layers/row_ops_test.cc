// Operations of this folder that have kernels of their own, against their formulas in f64: every device,
// every type of rows, odd shapes and strides.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <tuple>

#include "layers/fused.h"
#include "layers/link_rows.h"
#include "layers/mix_links.h"
#include "layers/token_encoder.h"
#include "tests/layers/gradient_check.h"

namespace lime {
namespace {

struct Case {
  Device device;
  DType dtype;
};

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const Device device : test_devices()) {
    all.push_back({device, DType::f32});
    all.push_back({device, DType::f64});
    if (device != Device{}) all.push_back({device, DType::bf16});
  }
  return all;
}

struct Shape {
  int64_t rows, cols, gap;
};
// No rows, one column, whole and broken packs, more rows than one block sums, rows of every number of packs a
// lane.
const std::vector<Shape> shapes = {{0, 8, 0},   {1, 1, 0},    {5, 7, 1},    {70, 8, 0},
                                   {3, 72, 8},  {2, 264, 3},  {67, 128, 0}, {66, 256, 8},
                                   {9, 512, 0}, {2, 1024, 0}, {2, 1032, 0}};

double silu_of(double x) { return x / (1 + std::exp(-x)); }
double silu_slope_of(double x) {
  const double p = 1 / (1 + std::exp(-x));
  return p * (1 + x * (1 - p));
}

// What a view holds, on the host.
struct Values {
  explicit Values(const ConstView& view) : values(values_of(view)), cols(view.cols()) {}
  double operator()(int64_t r, int64_t c) const { return values[static_cast<size_t>(r * cols + c)]; }
  std::vector<double> values;
  int64_t cols;
};

class RowOps : public DeviceTest, public testing::WithParamInterface<Case> {
 protected:
  RowOps() : DeviceTest(GetParam().device, GetParam().dtype) {}

  View random(DType dtype, int64_t rows, int64_t cols, int64_t gap, uint64_t seed) {
    const View view = ctx.arena().alloc(dtype, rows, cols + gap).slice_cols(0, cols);
    fill_random(view, seed);
    return view;
  }
  View rows(const Shape& s, uint64_t seed) { return random(ctx.dtype(), s.rows, s.cols, s.gap, seed); }
  View parameter(int64_t rows, int64_t cols, uint64_t seed) {
    return random(ctx.parameter_dtype(), rows, cols, 0, seed);
  }

  // Where rows are bf16 a result is computed in f32 and rounded once, by up to 2^-8 of itself. What f32 (f64)
  // itself is off by: some tens of roundings of values up to ten or so, of sums up to a hundred.
  template <typename F>
  void expect(const ConstView& got, F want, const char* what) {
    const double rounding = got.dtype() == DType::bf16 ? 0x1p-8 : 0;
    const double computing = ctx.dtype() == DType::f64 ? 1e-12 : 2e-5;
    const Values values(got);
    for (int64_t r = 0; r < got.rows(); ++r)
      for (int64_t c = 0; c < got.cols(); ++c) {
        const double expected = want(r, c);
        ASSERT_NEAR(values(r, c), expected, rounding * std::abs(expected) + computing)
            << what << "[" << r << "," << c << "] of " << got.rows() << "x" << got.cols() << " stride "
            << got.stride();
      }
  }
};
INSTANTIATE_TEST_SUITE_P(Devices, RowOps, testing::ValuesIn(cases()), [](const auto& tested) {
  return str(tested.param.device == Device{} ? "cpu" : "cuda", "_", to_string(tested.param.dtype));
});

double sum_of_column(const Shape& s, int64_t c, const std::function<double(int64_t, int64_t)>& term) {
  double sum = 0;
  for (int64_t r = 0; r < s.rows; ++r) sum += term(r, c);
  return sum;
}

TEST_P(RowOps, BiasSiluKeep) {
  for (const Shape& s : shapes) {
    const View bias = parameter(1, s.cols, 1), a = rows(s, 2), kept = rows(s, 3);
    const Values b(bias), z(a);
    const auto activated = [&](int64_t r, int64_t c) { return silu_of(z(r, c) + b(0, c)); };
    bias_silu_keep(ctx, bias, a, kept, a);  // a in place of z
    expect(
        kept, [&](int64_t r, int64_t c) { return z(r, c); }, "kept");
    expect(a, activated, "a");
    fill(ctx, a, 0);
    bias_silu_keep(ctx, bias, kept, kept, a);  // z is what is kept
    expect(
        kept, [&](int64_t r, int64_t c) { return z(r, c); }, "kept in place");
    expect(a, activated, "a of what is kept");
  }
}

TEST_P(RowOps, SiluSlopes) {
  for (const Shape& s : shapes) {
    const View z = rows(s, 1), a = rows(s, 2), dz = rows(s, 4), dbias = parameter(1, s.cols, 5),
               bias = parameter(1, s.cols, 6);
    const Values before(z), g(dz), old(dbias), b(bias);
    const auto x = [&](int64_t r, int64_t c) { return before(r, c) + b(0, c); };
    View slope;  // made of z on a device
    if (ctx.device() == Device{}) {
      slope = rows(s, 3);
      silu_with_slope(ctx, bias, z, a, slope);
      expect(
          a, [&](int64_t r, int64_t c) { return silu_of(x(r, c)); }, "a");
      expect(
          slope, [&](int64_t r, int64_t c) { return silu_slope_of(x(r, c)); }, "slope");
    }
    const auto product = [&](int64_t r, int64_t c) { return g(r, c) * silu_slope_of(x(r, c)); };
    multiply_slope(ctx, bias, z, slope, dz, dbias);
    expect(dz, product, "dz");
    expect(
        dbias, [&](int64_t, int64_t c) { return old(0, c) + sum_of_column(s, c, product); }, "dbias");
  }
}

TEST_P(RowOps, SiluAtTheEndsOfTheRange) {
  if (ctx.device() == Device{}) return;  // whose own tests have them
  const std::vector<double> x{INFINITY, 1e30, 200, 90, -90, -200, -1e30, -INFINITY, NAN};
  const Shape s{1, static_cast<int64_t>(x.size()) + 7, 0};  // whole packs
  const View z = rows(s, 1), a = rows(s, 2), dz = rows(s, 3), bias = parameter(1, s.cols, 4);
  fill(ctx, bias, 0), fill(ctx, dz, 1);
  for (size_t i = 0; i < x.size(); ++i)
    fill(ctx, z.slice_cols(static_cast<int64_t>(i), static_cast<int64_t>(i) + 1), x[i]);
  bias_silu_keep(ctx, bias, z, z, a);
  multiply_slope(ctx, bias, z, {}, dz, parameter(1, s.cols, 5));
  const Values in(z), silu(a), slope(dz);
  for (int64_t i = 0; i < static_cast<int64_t>(x.size()) - 1; ++i) {
    if (in(0, i) > 0) {
      EXPECT_EQ(silu(0, i), in(0, i));
      EXPECT_EQ(slope(0, i), 1) << in(0, i);
    } else {
      EXPECT_NEAR(silu(0, i), 0, 1e-30) << in(0, i);
      EXPECT_NEAR(slope(0, i), 0, 1e-30) << in(0, i);
    }
  }
  EXPECT_TRUE(std::isnan(silu(0, 8)) && std::isnan(slope(0, 8)));
}

TEST_P(RowOps, GatedNorm) {
  for (const Shape& s : shapes) {
    const View gain = parameter(1, s.cols, 1), bias = parameter(1, s.cols, 2), x = rows(s, 3), u = rows(s, 4),
               y = rows(s, 5), mean = parameter(s.rows, 1, 6), rstd = parameter(s.rows, 1, 7);
    const lime::GatedNorm norm{gain, bias, 1e-2, mean, rstd};
    const Values w(gain), b(bias), in(x), gate(u);
    gated_norm(ctx, norm, x, u, y);
    const auto mean_of = [&](const std::function<double(int64_t)>& f) {
      double sum = 0;
      for (int64_t c = 0; c < s.cols; ++c) sum += f(c);
      return sum / static_cast<double>(s.cols);
    };
    const auto average = [&](int64_t r, int64_t = 0) { return mean_of([&](int64_t c) { return in(r, c); }); };
    expect(mean, average, "mean");
    const Values m(mean), k(rstd);
    expect(
        rstd,
        [&](int64_t r, int64_t) {
          return 1 / std::sqrt(mean_of([&](int64_t c) { return std::pow(in(r, c) - m(r, 0), 2); }) + 1e-2);
        },
        "rstd");
    const auto e = [&](int64_t r, int64_t c) { return (in(r, c) - m(r, 0)) * k(r, 0); };
    const auto normed = [&](int64_t r, int64_t c) { return e(r, c) * w(0, c) + b(0, c); };
    const auto out = [&](int64_t r, int64_t c) { return normed(r, c) * gate(r, c); };
    expect(y, out, "y");
    normalise(ctx, gain, bias, mean, rstd, x, y);
    expect(y, normed, "normalised");

    const View kept = rows(s, 12), dkept = rows(s, 13), d = rows(s, 8), du = rows(s, 9),
               dgain = parameter(1, s.cols, 10), dbias = parameter(1, s.cols, 11);
    const Values g(d), gain0(dgain), bias0(dbias);
    gated_norm_backward(ctx, norm, x, u, d, {}, dkept, kept, parameter(1, s.cols, 14),
                        parameter(1, s.cols, 15));                    // y is not asked for
    gated_norm_backward(ctx, norm, x, u, d, y, du, d, dgain, dbias);  // dx in place of dy
    const auto dn = [&](int64_t r, int64_t c) { return g(r, c) * gate(r, c); };
    expect(y, out, "y again");
    expect(
        du, [&](int64_t r, int64_t c) { return g(r, c) * normed(r, c); }, "du");
    expect(
        dgain,
        [&](int64_t, int64_t c) {
          return gain0(0, c) + sum_of_column(s, c, [&](int64_t r, int64_t j) { return dn(r, j) * e(r, j); });
        },
        "dgain");
    expect(
        dbias, [&](int64_t, int64_t c) { return bias0(0, c) + sum_of_column(s, c, dn); }, "dbias");
    expect(
        d,
        [&](int64_t r, int64_t c) {
          const double shift = mean_of([&](int64_t j) { return dn(r, j) * w(0, j); });
          const double tilt = mean_of([&](int64_t j) { return dn(r, j) * w(0, j) * e(r, j); });
          return k(r, 0) * (dn(r, c) * w(0, c) - shift - e(r, c) * tilt);
        },
        "dx");
    const Values du_with_y(du), dx_with_y(d);
    expect(
        dkept, [&](int64_t r, int64_t c) { return du_with_y(r, c); }, "du without y");
    expect(
        kept, [&](int64_t r, int64_t c) { return dx_with_y(r, c); }, "dx without y");
  }
}

TEST_P(RowOps, AddResidual) {
  for (const Shape& s : shapes) {
    const View bias = parameter(1, s.cols, 1), x = rows(s, 2), y = rows(s, 3), kept = rows(s, 4);
    const Values b(bias), p(x), q(y);
    add_residual(ctx, x, y, bias, kept);
    expect(
        kept, [&](int64_t r, int64_t c) { return p(r, c) + q(r, c) + b(0, c); }, "kept");
  }
}

TEST_P(RowOps, PositionsOfATile) {
  const auto offsets = offsets_of({0, 3, 90, 1, 0, 6});
  const std::vector<int64_t> none(6), some{2, 0, 3, 0, 120, 7};  // rows of the histories that are elsewhere
  const DeviceJagged history(ctx, offsets), elsewhere(ctx, offsets_of(some));
  for (const int64_t positions : {1, 4, 100}) {
    for (const bool whole : {true, false}) {
      for (const int64_t cols : {5, 8}) {
        const int64_t first = 2, count = offsets.back() - 3;
        const View table = random(ctx.dtype(), positions, cols, 0, 1), tokens = rows({count, cols, 0}, 2),
                   dtable = parameter(positions, cols, 3), d = rows({count, cols, 3}, 4);
        const Values t(table), x(tokens), old(dtable), g(d);
        Jagged later;
        if (!whole) later = elsewhere;
        const auto position = [&](int64_t r) {
          const auto end = std::upper_bound(offsets.begin(), offsets.end(), first + r);
          const int64_t behind = (whole ? none : some)[static_cast<size_t>(end - offsets.begin() - 1)];
          return std::min(*end - 1 - first - r + behind, positions - 1);
        };
        add_positions(ctx, table, history, later, first, tokens);
        expect(
            tokens, [&](int64_t r, int64_t c) { return x(r, c) + t(position(r), c); }, "tokens");
        add_positions_backward(ctx, d, history, later, first, dtable);
        expect(
            dtable,
            [&](int64_t p, int64_t c) {
              return old(p, c) + sum_of_column({count, cols, 0}, c, [&](int64_t r, int64_t) {
                       return position(r) == p ? g(r, c) : 0;
                     });
            },
            "dtable");
      }
    }
  }
}

TEST_P(RowOps, RowsOfLinks) {
  for (const int64_t requests : {0, 1, 70}) {
    for (const Shape& s : {Shape{1, 8, 0}, Shape{3, 5, 1}, Shape{5, 72, 8}}) {
      const Shape pairs{requests * s.rows, s.cols, s.gap}, users{requests, s.cols, s.gap};
      const View l = rows(s, 1), u = rows(users, 2), y = rows(pairs, 3), d = rows(pairs, 4),
                 dl = parameter(s.rows, s.cols, 5), du = rows(users, 6);
      const Values link(l), request(u), g(d), old(dl);
      add_request_rows(ctx, l, u, y);
      expect(
          y, [&](int64_t r, int64_t c) { return link(r % s.rows, c) + request(r / s.rows, c); },
          "sums of two");
      const Values before(y);
      add_links(ctx, l, y);
      expect(
          y, [&](int64_t r, int64_t c) { return before(r, c) + link(r % s.rows, c); }, "links added");
      sum_over_requests(ctx, d, dl);
      expect(
          dl,
          [&](int64_t i, int64_t c) {
            return old(i, c) +
                   sum_of_column(users, c, [&](int64_t b, int64_t) { return g(b * s.rows + i, c); });
          },
          "over requests");
      sum_over_links(ctx, d, du);
      expect(
          du,
          [&](int64_t b, int64_t c) {
            return sum_of_column(s, c, [&](int64_t i, int64_t) { return g(b * s.rows + i, c); });
          },
          "over links");
    }
  }
}

TEST_P(RowOps, MixturesOfLinks) {
  const auto offsets = offsets_of({3, 0, 1, 20, 0});
  const DeviceJagged impressions(ctx, offsets);
  const int64_t requests = 5, candidates = offsets.back();
  for (const auto& [heads, links, width] : {std::tuple{1, 1, 1}, {2, 5, 3}, {2, 3, 8}, {3, 4, 16}}) {
    const int64_t d = heads * width;
    const View p = rows({candidates, heads * links, 1}, 1), v = rows({requests * links, d, 8}, 2),
               y = rows({candidates, d, 0}, 3), dy = rows({candidates, d, 0}, 4),
               dp = rows({candidates, heads * links, 0}, 5), dv = rows({requests * links, d, 0}, 6);
    const Values weight(p), value(v), g(dy);
    const auto request = [&](int64_t r) {
      return std::upper_bound(offsets.begin(), offsets.end(), r) - offsets.begin() - 1;
    };
    mix_links(ctx, heads, p, v, impressions, y);
    expect(
        y,
        [&](int64_t r, int64_t c) {
          double sum = 0;
          for (int64_t i = 0; i < links; ++i)
            sum += weight(r, c / width * links + i) * value(request(r) * links + i, c);
          return sum;
        },
        "y");
    mix_links_backward(ctx, heads, p, v, impressions, dy, dp, dv);
    expect(
        dp,
        [&](int64_t r, int64_t k) {
          double sum = 0;
          for (int64_t c = k / links * width; c < (k / links + 1) * width; ++c)
            sum += g(r, c) * value(request(r) * links + k % links, c);
          return sum;
        },
        "dp");
    expect(
        dv,
        [&](int64_t row, int64_t c) {
          double sum = 0;
          const auto b = static_cast<size_t>(row / links);
          for (int64_t r = offsets[b]; r < offsets[b + 1]; ++r)
            sum += weight(r, c / width * links + row % links) * g(r, c);
          return sum;
        },
        "dvalues");
  }
}

}  // namespace
}  // namespace lime
