// XOR attention on a CUDA device against that of the CPU in f64 on the same (rounded) inputs, which
// attention_test.cc compares with the definition. Inputs have NaNs around them, outputs guard values.
#include <cmath>
#include <cstring>

#include "layers/attention/xor_attention_mma_cuda.h"
#include "layers/cuda_kernels_attention.h"
#include "tests/layers/attention_device_case.h"

namespace lime {
namespace {

// Everything of a call, for either device.
struct XorViews {
  View h, l, h_out, l_out, dh_out, dl_out, dh, dl;
  bool both;
};

AttentionRows rows_of(const View& x, int64_t d, bool q, bool kv) {
  return {q ? x.slice_cols(0, d) : View(), kv ? x.slice_cols(d, 2 * d) : View(),
          kv ? x.slice_cols(2 * d, 3 * d) : View()};
}
AttentionRowsGrad grads_of(const View& x, int64_t d, bool q, bool kv) {
  return {q ? x.slice_cols(0, d) : View(), kv ? x.slice_cols(d, 2 * d) : View(),
          kv ? x.slice_cols(2 * d, 3 * d) : View()};
}

// Forward and, if asked for, backward in tiles of `step` rows.
void run_xor(Context& ctx, const Case& s, const Jagged& history, int64_t step, Kernels kernels,
             const XorViews& v, bool backward = true) {
  const int64_t d = s.width();
  for (int64_t first = 0; first < history.rows(); first += step) {
    const int64_t end = std::min(first + step, history.rows());
    const auto part = [&](const View& x) { return x.slice_rows(first, end); };
    const XorAttentionTile tile{s.heads, s.links, history, first};
    const AttentionRows h = rows_of(part(v.h), d, v.both, true), l = rows_of(v.l, d, true, v.both);
    const AttentionRowsGrad dh = grads_of(part(v.dh), d, v.both, true), dl = grads_of(v.dl, d, true, v.both);
    const View h_out = v.both ? part(v.h_out) : View(), dh_out = v.both ? part(v.dh_out) : View();
    if (kernels == Kernels::mma) {
      EXPECT_TRUE(cuda::xor_attention_mma(ctx, tile, v.both, h, l, h_out, v.l_out));
      if (backward) {
        EXPECT_TRUE(cuda::xor_attention_backward_mma(ctx, tile, v.both, h, l, dh_out, v.dl_out, dh, dl));
      }
    } else if (v.h.dtype() == DType::bf16) {
      cuda::xor_attention(ctx, tile, v.both, h, l, h_out, v.l_out);
      if (backward) cuda::xor_attention_backward(ctx, tile, v.both, h, l, dh_out, v.dl_out, dh, dl);
    } else {
      xor_attention(ctx, tile, h, l, h_out, v.l_out);
      if (backward) xor_attention_backward(ctx, tile, h, l, dh_out, v.dl_out, dh, dl);
    }
  }
}

class XorOnCuda : public OnCuda {
 protected:
  // All results against the reference, and the same bits when run again.
  void compare(Context& device, DType type, int64_t guard, int64_t step, Kernels kernels,
               Tolerance tolerance) {
    for (const bool both : {true, false}) {
      const int64_t d = shape.width();
      const double start = type == DType::bf16 ? 0 : 0.5;  // of what is accumulated
      Buffer h = Buffer::input(device, type, rows(), 3 * d, guard, 1),
             l = Buffer::input(device, type, link_rows(), 3 * d, guard, 2),
             dh_out = Buffer::input(device, type, rows(), d, guard, 3),
             dl_out = Buffer::input(device, type, link_rows(), d, guard, 4);
      std::vector<std::vector<double>> before;
      for (int repeat = 0; repeat < 2; ++repeat) {
        Buffer h_out = Buffer::output(device, type, rows(), d, guard, both ? NAN : 0),
               l_out = Buffer::output(device, type, link_rows(), d, guard, start),
               dh = Buffer::output(device, type, rows(), 3 * d, guard, 0),
               dl = Buffer::output(device, type, link_rows(), 3 * d, guard, start);
        const auto views = [&](auto of) {
          return XorViews{of(h), of(l), of(h_out), of(l_out), of(dh_out), of(dl_out), of(dh), of(dl), both};
        };
        run_xor(device, shape, history, step, kernels, views([](Buffer& b) { return b.device(); }));
        std::vector<std::vector<double>> now = {h_out.download(), l_out.download(), dh.download(),
                                                dl.download()};
        if (repeat == 1) {
          for (size_t i = 0; i < now.size(); ++i)  // NaN is never equal
            EXPECT_EQ(std::memcmp(now[i].data(), before[i].data(), now[i].size() * sizeof(double)), 0);
          continue;
        }
        before = std::move(now);
        Context f64({}, DType::f64);
        run_xor(f64, shape, history, std::max<int64_t>(rows(), 1), Kernels::any,
                views([](Buffer& b) { return b.reference(); }));
        h_out.expect_near(offsets(), tolerance, "history out");
        l_out.expect_near(link_offsets, tolerance, "links out");
        dh.expect_near(offsets(), tolerance, "gradient of history");
        dl.expect_near(link_offsets, tolerance, "gradient of links");
      }
    }
  }
};

TEST_P(XorOnCuda, F64) {
  Context f64(ctx.device(), DType::f64);
  compare(f64, DType::f64, 3, rows() / 3 + 1, Kernels::any, f64_tolerance);
}
TEST_P(XorOnCuda, F32) { compare(ctx, DType::f32, 3, rows() / 2 + 1, Kernels::any, f32_tolerance); }
TEST_P(XorOnCuda, Tf32) {
  ctx.allow_tf32(true);
  compare(ctx, DType::f32, 3, rows() / 2 + 1, Kernels::any, tf32_tolerance);
}
// Rows that are not at multiples of 16 bytes.
TEST_P(XorOnCuda, Bf16) { compare(ctx, DType::bf16, 3, rows() + 1, Kernels::any, bf16_tolerance); }

// Along one random direction through all inputs, in f64.
TEST_P(XorOnCuda, FiniteDifferences) {
  Context f64(ctx.device(), DType::f64);
  const int64_t d = shape.width();
  const auto input = [&](int64_t n, int64_t cols, uint64_t seed) {
    return Buffer::input(f64, DType::f64, n, cols, 1, seed);
  };
  Buffer h = input(rows(), 3 * d, 1), l = input(link_rows(), 3 * d, 2), to_h = input(rows(), 3 * d, 5),
         to_l = input(link_rows(), 3 * d, 6), r_h = input(rows(), d, 3), r_l = input(link_rows(), d, 4);
  // The outputs' product with r at a distance, and at 0 the gradient's with the direction.
  const auto at = [&](double distance) {
    Buffer moved_h = h, moved_l = l;
    moved_h.add(distance, to_h), moved_l.add(distance, to_l);
    const auto zeros = [&](int64_t n, int64_t cols) {
      return Buffer::output(f64, DType::f64, n, cols, 1, 0);
    };
    Buffer h_out = zeros(rows(), d), l_out = zeros(link_rows(), d), dh = zeros(rows(), 3 * d),
           dl = zeros(link_rows(), 3 * d);
    run_xor(f64, shape, history, rows() / 2 + 1, Kernels::any,
            {moved_h.device(), moved_l.device(), h_out.device(), l_out.device(), r_h.device(), r_l.device(),
             dh.device(), dl.device(), true},
            distance == 0);
    for (Buffer* b : {&h_out, &l_out, &dh, &dl}) b->read();
    return std::pair(dot(h_out.reference(), r_h.reference()) + dot(l_out.reference(), r_l.reference()),
                     dot(dh.reference(), to_h.reference()) + dot(dl.reference(), to_l.reference()));
  };
  const double step = 1e-3;  // fourth order: errors of 1e-12 from the step, 1e-13 from rounding
  const double numeric =
      (8 * (at(step).first - at(-step).first) - (at(2 * step).first - at(-2 * step).first)) / (12 * step);
  EXPECT_NEAR(at(0).second, numeric, 1e-8 * std::max(1.0, std::abs(numeric)));
}

INSTANTIATE_TEST_SUITE_P(Shapes, XorOnCuda, testing::ValuesIn(odd_shapes));

class XorMmaOnCuda : public XorOnCuda {};

TEST_P(XorMmaOnCuda, Bf16) { compare(ctx, DType::bf16, 8, rows() + 1, Kernels::mma, mma_tolerance); }

INSTANTIATE_TEST_SUITE_P(Shapes, XorMmaOnCuda, testing::ValuesIn(mma_shapes));

// Shapes that warpgroups take.
class XorWgmmaOnCuda : public XorOnCuda {};

TEST_P(XorWgmmaOnCuda, Bf16) { compare(ctx, DType::bf16, 8, rows() + 1, Kernels::mma, mma_tolerance); }
TEST_P(XorWgmmaOnCuda, Bf16ByWarps) {
  forbid_wgmma();
  compare(ctx, DType::bf16, 8, rows() + 1, Kernels::mma, mma_tolerance);
}

INSTANTIATE_TEST_SUITE_P(Shapes, XorWgmmaOnCuda, testing::ValuesIn(wgmma_shapes));

// Tiles that begin and end within requests.
class XorMmaTilesOnCuda : public XorOnCuda {};

TEST_P(XorMmaTilesOnCuda, Bf16) {
  compare(ctx, DType::bf16, 8, rows() / 2 + 1, Kernels::mma, mma_tiles_tolerance);
}

INSTANTIATE_TEST_SUITE_P(Shapes, XorMmaTilesOnCuda, testing::ValuesIn(tile_shapes));

TEST_P(XorMmaTilesOnCuda, HugeScoresStayFinite) {
  const int64_t d = shape.width();
  const auto input = [&](int64_t n, int64_t cols, uint64_t seed, double deviation) {
    return Buffer::input(ctx, DType::bf16, n, cols, 8, seed, deviation);
  };
  const auto output = [&](int64_t n, int64_t cols) {
    return Buffer::output(ctx, DType::bf16, n, cols, 8, 0);
  };
  const Buffer h = input(rows(), 3 * d, 1, 1e6), l = input(link_rows(), 3 * d, 2, 1e6),
               dh_out = input(rows(), d, 3, 1), dl_out = input(link_rows(), d, 4, 1);
  const Buffer h_out = output(rows(), d), l_out = output(link_rows(), d), dh = output(rows(), 3 * d),
               dl = output(link_rows(), 3 * d);
  run_xor(ctx, shape, history, rows(), Kernels::mma,
          {h.device(), l.device(), h_out.device(), l_out.device(), dh_out.device(), dl_out.device(),
           dh.device(), dl.device(), true});
  for (const Buffer* b : {&h_out, &l_out, &dh, &dl})
    for (const double value : b->download()) ASSERT_TRUE(std::isfinite(value));
}

TEST(XorMma, SaysWhatItCannotTake) {
  if (!skip_reason({DeviceType::cuda, 0}).empty()) GTEST_SKIP();
  expect_what_mma_takes(
      [](Context& ctx, const Jagged& history, int64_t links, const View(&h)[2], const View(&l)[2]) {
        return cuda::xor_attention_mma(ctx, {1, links, history, 0}, false, {{}, h[0], h[1]}, {l[0], {}, {}},
                                       {}, l[1]);
      });
}

}  // namespace
}  // namespace lime
