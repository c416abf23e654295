// Link attention on a CUDA device against that of the CPU in f64 on the same (rounded) inputs, which
// attention_test.cc compares with the definition. Inputs have NaNs around them, outputs guard values.
#include <cmath>
#include <cstring>

#include "layers/cuda_kernels_attention.h"
#include "layers/link_attention_mma_cuda.h"
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

INSTANTIATE_TEST_SUITE_P(Shapes, LinkOnCuda,
                         testing::Values(Case{{4}, 1, 1, 1}, Case{{0, 1, 5}, 2, 3, 5},
                                         Case{{33, 0, 70, 2}, 2, 7, 4}, Case{{64, 31}, 1, 32, 32},
                                         Case{{17, 0}, 1, 33, 70}, Case{{2, 513, 1}, 1, 5, 8}));

class LinkMmaOnCuda : public LinkOnCuda {};

TEST_P(LinkMmaOnCuda, Bf16) { compare(ctx, DType::bf16, 8, rows() + 1, Kernels::mma, mma_softmax); }

// With chunks of 256 rows: one chunk and several, one warp a row and several.
INSTANTIATE_TEST_SUITE_P(Shapes, LinkMmaOnCuda,
                         testing::Values(Case{{1}, 1, 16, 32}, Case{{63, 64, 128, 257}, 1, 16, 32},
                                         Case{{70, 0, 1, 33}, 2, 16, 32}, Case{{0, 260, 5}, 1, 32, 32},
                                         Case{{65}, 2, 48, 64}, Case{{50}, 1, 80, 128},
                                         Case{{17}, 1, 128, 128}));

// Shapes that warpgroups take, in backward.
class LinkWgmmaOnCuda : public LinkOnCuda {};

TEST_P(LinkWgmmaOnCuda, Bf16) { compare(ctx, DType::bf16, 8, rows() + 1, Kernels::mma, mma_softmax); }
TEST_P(LinkWgmmaOnCuda, Bf16ByWarps) {
  forbid_wgmma();
  compare(ctx, DType::bf16, 8, rows() + 1, Kernels::mma, mma_softmax);
}

INSTANTIATE_TEST_SUITE_P(Shapes, LinkWgmmaOnCuda,
                         testing::Values(Case{{256, 0, 257}, 1, 64, 32}, Case{{1, 81, 16}, 2, 64, 64},
                                         Case{{300, 3}, 1, 128, 32}, Case{{0, 129, 64}, 1, 128, 64}));

// Tiles that begin and end within requests: what runs between them is rounded.
class LinkMmaTilesOnCuda : public LinkOnCuda {};

TEST_P(LinkMmaTilesOnCuda, Bf16) { compare(ctx, DType::bf16, 8, rows() / 2 + 1, Kernels::mma, mma_softmax); }

INSTANTIATE_TEST_SUITE_P(Shapes, LinkMmaTilesOnCuda,
                         testing::Values(Case{{70, 0, 1, 50}, 1, 16, 32}, Case{{33, 40}, 2, 64, 64}));

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

// Shapes and views that tensor cores cannot take are left to the generic kernel.
TEST(LinkMma, SaysWhatItCannotTake) {
  const std::vector<int64_t> offsets = {0, 8};
  if (!skip_reason({DeviceType::cuda, 0}).empty()) GTEST_SKIP();
  Context ctx({DeviceType::cuda, 0});
  const DeviceJagged history(ctx, offsets);
  const auto takes = [&](int64_t width, int64_t links, DType type, int64_t column) {
    const Tensor memory(ctx.device(), type, 8 + links, 2 * width + 8),
        state(ctx.device(), DType::f32, 2, links);
    const View a = memory.view().slice_cols(column, column + width),
               b = memory.view().slice_cols(column + width, column + 2 * width);
    const View q = a.slice_rows(8, 8 + links), out = b.slice_rows(8, 8 + links);
    return cuda::link_attention_mma(ctx, {1, links, history}, 0, q, a.slice_rows(0, 8), b.slice_rows(0, 8),
                                    {state.view().slice_rows(0, 1), state.view().slice_rows(1, 2)}, out);
  };
  EXPECT_TRUE(takes(32, 16, DType::bf16, 0));
  EXPECT_TRUE(takes(128, 128, DType::bf16, 8));
  EXPECT_FALSE(takes(32, 16, DType::bf16, 1));
  EXPECT_FALSE(takes(32, 16, DType::f32, 0));
  EXPECT_FALSE(takes(48, 16, DType::bf16, 0));
  EXPECT_FALSE(takes(32, 20, DType::bf16, 0));
  EXPECT_FALSE(takes(32, 144, DType::bf16, 0));
}

}  // namespace
}  // namespace lime
