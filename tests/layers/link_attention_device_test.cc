// Link attention on a CUDA device against that of the CPU in f64 on the same (rounded) inputs, which
// attention_test.cc compares with the definition. Inputs have NaNs around them, outputs guard values.
#include <cmath>

#include "layers/attention/link_attention_mma_cuda.h"
#include "layers/cuda_kernels_attention.h"
#include "tests/layers/attention_device_case.h"

namespace lime {
namespace {

class LinkOnCuda : public OnCuda {
 protected:
  struct Views {
    View q, kv, dout, maximum, sum, out, dq, dkv;
  };
  // Forward and backward in tiles of `step` rows.
  void run(Context& device, int64_t step, Kernels kernels, const Views& v) {
    const int64_t d = shape.width();
    const LinkAttention a{shape.heads, shape.links, history};
    const LinkAttentionState state{v.maximum, v.sum};
    const bool direct = v.q.dtype() == DType::bf16;  // past the operation's checks
    const auto tiles = [&](auto f) {
      for (int64_t first = 0; first < rows(); first += step) {
        const int64_t end = std::min(first + step, rows());
        const View kv = v.kv.slice_rows(first, end), dkv = v.dkv.slice_rows(first, end);
        f(first, kv.slice_cols(0, d), kv.slice_cols(d, 2 * d), dkv.slice_cols(0, d),
          dkv.slice_cols(d, 2 * d));
      }
    };
    direct ? cuda::link_attention_begin(device, state, v.out) : link_attention_begin(device, a, state, v.out);
    tiles([&](int64_t first, const View& k, const View& val, const View&, const View&) {
      if (kernels == Kernels::mma) {
        EXPECT_TRUE(cuda::link_attention_mma(device, a, first, v.q, k, val, state, v.out));
      } else {
        direct ? cuda::link_attention_tile(device, a, first, v.q, k, val, state, v.out)
               : link_attention_tile(device, a, first, v.q, k, val, state, v.out);
      }
    });
    direct ? cuda::link_attention_finish(device, a, state, v.out)
           : link_attention_finish(device, a, state, v.out);
    direct ? cuda::link_attention_backward_begin(device, a, v.out, v.dout, state)
           : link_attention_backward_begin(device, a, v.out, v.dout, state);
    tiles([&](int64_t first, const View& k, const View& val, const View& dk, const View& dv) {
      if (kernels == Kernels::mma) {
        EXPECT_TRUE(
            cuda::link_attention_backward_mma(device, a, first, v.q, k, val, v.dout, state, v.dq, dk, dv));
      } else {
        direct
            ? cuda::link_attention_backward_tile(device, a, first, v.q, k, val, v.dout, state, v.dq, dk, dv)
            : link_attention_backward_tile(device, a, first, v.q, k, val, v.dout, state, v.dq, dk, dv);
      }
    });
  }
  void compare(Context& device, DType type, int64_t guard, int64_t step, Kernels kernels,
               Tolerance tolerance) {
    const int64_t d = shape.width(), states = jagged().segments() * shape.heads;
    const DType state_type = type == DType::bf16 ? DType::f32 : type;
    const double start = type == DType::bf16 ? 0 : 0.5;
    Buffer q = Buffer::input(device, type, link_rows(), d, guard, 1),
           kv = Buffer::input(device, type, rows(), 2 * d, guard, 2),
           dout = Buffer::input(device, type, link_rows(), d, guard, 3);
    std::vector<std::vector<double>> before;
    for (int repeat = 0; repeat < 2; ++repeat) {
      Buffer maximum = Buffer::output(device, state_type, states, shape.links, guard, NAN),
             sum = Buffer::output(device, state_type, states, shape.links, guard, NAN),
             out = Buffer::output(device, type, link_rows(), d, guard, NAN),
             dq = Buffer::output(device, type, link_rows(), d, guard, start),
             dkv = Buffer::output(device, type, rows(), 2 * d, guard, NAN);
      const auto views = [&](auto of) {
        return Views{of(q), of(kv), of(dout), of(maximum), of(sum), of(out), of(dq), of(dkv)};
      };
      run(device, step, kernels, views([](Buffer& b) { return b.device(); }));
      std::vector<std::vector<double>> now = {out.download(), dq.download(), dkv.download()};
      if (repeat == 1) {
        EXPECT_EQ(now, before);
        continue;
      }
      before = std::move(now);
      Context f64({}, DType::f64);
      run(f64, rows() + 1, Kernels::any, views([](Buffer& b) { return b.reference(); }));
      out.expect_near(link_offsets, tolerance, "out");
      dq.expect_near(link_offsets, tolerance, "gradient of q");
      dkv.expect_near(offsets(), tolerance, "gradient of k|v");
    }
  }
};

TEST_P(LinkOnCuda, F64) {
  Context f64(ctx.device(), DType::f64);
  compare(f64, DType::f64, 3, rows() / 3 + 1, Kernels::any, f64_tolerance);
}
TEST_P(LinkOnCuda, F32) { compare(ctx, DType::f32, 3, rows() / 2 + 1, Kernels::any, f32_tolerance); }
TEST_P(LinkOnCuda, Tf32) {
  ctx.allow_tf32(true);
  compare(ctx, DType::f32, 3, rows() / 2 + 1, Kernels::any, tf32_tolerance);
}
// Rows that are not at multiples of 16 bytes.
TEST_P(LinkOnCuda, Bf16) { compare(ctx, DType::bf16, 3, rows() + 1, Kernels::any, bf16_softmax); }

INSTANTIATE_TEST_SUITE_P(Shapes, LinkOnCuda, testing::ValuesIn(odd_shapes));

class LinkMmaOnCuda : public LinkOnCuda {};

TEST_P(LinkMmaOnCuda, Bf16) { compare(ctx, DType::bf16, 8, rows() + 1, Kernels::mma, mma_softmax); }

INSTANTIATE_TEST_SUITE_P(Shapes, LinkMmaOnCuda, testing::ValuesIn(mma_shapes));

// Shapes that warpgroups take, in backward.
class LinkWgmmaOnCuda : public LinkOnCuda {};

TEST_P(LinkWgmmaOnCuda, Bf16) { compare(ctx, DType::bf16, 8, rows() + 1, Kernels::mma, mma_softmax); }
TEST_P(LinkWgmmaOnCuda, Bf16ByWarps) {
  forbid_wgmma();
  compare(ctx, DType::bf16, 8, rows() + 1, Kernels::mma, mma_softmax);
}

INSTANTIATE_TEST_SUITE_P(Shapes, LinkWgmmaOnCuda, testing::ValuesIn(wgmma_shapes));

// Tiles that begin and end within requests: what runs between them is rounded.
class LinkMmaTilesOnCuda : public LinkOnCuda {};

TEST_P(LinkMmaTilesOnCuda, Bf16) { compare(ctx, DType::bf16, 8, rows() / 2 + 1, Kernels::mma, mma_softmax); }

INSTANTIATE_TEST_SUITE_P(Shapes, LinkMmaTilesOnCuda, testing::ValuesIn(tile_shapes));

// One score above all others by far: the weights are 1 and 0, and their gradients 0.
TEST_P(LinkMmaTilesOnCuda, HugeScoresStayFinite) {
  const int64_t d = shape.width(), states = jagged().segments() * shape.heads;
  const auto input = [&](int64_t n, int64_t cols, uint64_t seed, double deviation) {
    return Buffer::input(ctx, DType::bf16, n, cols, 8, seed, deviation);
  };
  const auto output = [&](DType type, int64_t n, int64_t cols) {
    return Buffer::output(ctx, type, n, cols, 8, 0);
  };
  const Buffer q = input(link_rows(), d, 1, 1e6), kv = input(rows(), 2 * d, 2, 1e6),
               dout = input(link_rows(), d, 3, 1);
  const Buffer maximum = output(DType::f32, states, shape.links),
               sum = output(DType::f32, states, shape.links), out = output(DType::bf16, link_rows(), d),
               dq = output(DType::bf16, link_rows(), d), dkv = output(DType::bf16, rows(), 2 * d);
  run(ctx, rows() / 2 + 1, Kernels::mma,
      {q.device(), kv.device(), dout.device(), maximum.device(), sum.device(), out.device(), dq.device(),
       dkv.device()});
  for (const Buffer* b : {&out, &dq, &dkv})
    for (const double value : b->download()) ASSERT_TRUE(std::isfinite(value));
}

TEST(LinkMma, SaysWhatItCannotTake) {
  if (!skip_reason({DeviceType::cuda, 0}).empty()) GTEST_SKIP();
  expect_what_mma_takes(
      [](Context& ctx, const Jagged& history, int64_t links, const View(&h)[2], const View(&l)[2]) {
        const Tensor maximum(ctx.device(), DType::f32, 1, links), sum(ctx.device(), DType::f32, 1, links);
        return cuda::link_attention_mma(ctx, {1, links, history}, 0, l[0], h[0], h[1], {maximum, sum}, l[1]);
      });
}

}  // namespace
}  // namespace lime
