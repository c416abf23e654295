// The attention kernels of a CUDA device against those of the CPU in f64 on the same (rounded) inputs, which
// attention_test.cc compares with the definitions. Inputs have NaNs around them, outputs guard values.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "layers/cuda_kernels_attention.h"
#include "layers/link_attention_mma_cuda.h"
#include "layers/xor_attention_mma_cuda.h"
#include "runtime/wgmma.h"
#include "tests/layers/device_buffer.h"

namespace lime {
namespace {

struct Case {
  std::vector<int64_t> lengths;
  int64_t heads, links, head_width;
  int64_t width() const { return heads * head_width; }
};

void PrintTo(const Case& c, std::ostream* out) {
  *out << c.heads << " heads of " << c.head_width << ", " << c.links << " links, histories of";
  for (const int64_t n : c.lengths) *out << ' ' << n;
}

// Sums of at most a few hundred terms.
constexpr Tolerance f64_tolerance{1e-13, 1e-12}, f32_tolerance{1e-6, 1e-5};
// The generic kernels round results alone, to 8 bits; but softmax takes delta, a difference of like numbers
// where the history is short, from rounded outputs; so with tensor cores, which round weights too.
constexpr Tolerance bf16_tolerance{1.0 / 256, 1e-5}, bf16_softmax{1.0 / 128, 1.0 / 32};
// Tensor cores have weights rounded to 8 bits and a tanh of 11: of a few terms, some are several times their
// root mean square. In tiles, sums of links are rounded twice.
constexpr Tolerance mma_tolerance{1.0 / 256, 1.0 / 32}, mma_tiles_tolerance{2.0 / 256, 1.0 / 32};
// The one weight of a history of one row is 1 but for rounding, and its gradient 0.
constexpr Tolerance mma_softmax{1.0 / 128, 1.0 / 32, 1e-5};

class OnCuda : public DeviceTest, public testing::WithParamInterface<Case> {
 protected:
  OnCuda() : DeviceTest({DeviceType::cuda, 0}), shape(GetParam()), history(ctx, offsets_of(shape.lengths)) {
    for (size_t b = 0; b <= shape.lengths.size(); ++b)
      link_offsets.push_back(static_cast<int64_t>(b) * shape.links);
  }
  const Jagged& jagged() const { return history; }
  int64_t rows() const { return jagged().rows(); }
  int64_t link_rows() const { return link_offsets.back(); }
  std::vector<int64_t> offsets() const { return {jagged().host().begin(), jagged().host().end()}; }

  // Products of warps where those of warpgroups would do.
  static void forbid_wgmma() { cuda::allow_wgmma(false); }
  void TearDown() override { cuda::allow_wgmma(true); }

  Case shape;
  DeviceJagged history;
  std::vector<int64_t> link_offsets;
};

// --- XOR attention
// ---------------------------------------------------------------------------------------------------

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

enum class Kernels { any, mma };

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

INSTANTIATE_TEST_SUITE_P(Shapes, XorOnCuda,
                         testing::Values(Case{{4}, 1, 1, 1}, Case{{0, 1, 5}, 2, 3, 5},
                                         Case{{33, 0, 70, 2}, 2, 7, 4}, Case{{64, 31}, 1, 32, 32},
                                         Case{{17, 0}, 1, 33, 70}, Case{{2, 513, 1}, 1, 5, 8}));

class XorMmaOnCuda : public XorOnCuda {};

TEST_P(XorMmaOnCuda, Bf16) { compare(ctx, DType::bf16, 8, rows() + 1, Kernels::mma, mma_tolerance); }

INSTANTIATE_TEST_SUITE_P(Shapes, XorMmaOnCuda,
                         testing::Values(Case{{1}, 1, 16, 32}, Case{{63, 64, 128, 257}, 1, 16, 32},
                                         Case{{70, 0, 1, 33}, 2, 16, 32}, Case{{0, 260, 5}, 1, 32, 32},
                                         Case{{65}, 1, 48, 64}, Case{{50}, 1, 80, 128},
                                         Case{{17}, 1, 128, 128}));

// Shapes that warpgroups take.
class XorWgmmaOnCuda : public XorOnCuda {};

TEST_P(XorWgmmaOnCuda, Bf16) { compare(ctx, DType::bf16, 8, rows() + 1, Kernels::mma, mma_tolerance); }
TEST_P(XorWgmmaOnCuda, Bf16ByWarps) {
  forbid_wgmma();
  compare(ctx, DType::bf16, 8, rows() + 1, Kernels::mma, mma_tolerance);
}

INSTANTIATE_TEST_SUITE_P(Shapes, XorWgmmaOnCuda,
                         testing::Values(Case{{256, 0, 257}, 1, 64, 32}, Case{{1, 81, 16}, 2, 64, 64},
                                         Case{{140, 3}, 1, 128, 32}, Case{{0, 129, 64}, 1, 128, 64}));

// Tiles that begin and end within requests.
class XorMmaTilesOnCuda : public XorOnCuda {};

TEST_P(XorMmaTilesOnCuda, Bf16) {
  compare(ctx, DType::bf16, 8, rows() / 2 + 1, Kernels::mma, mma_tiles_tolerance);
}

INSTANTIATE_TEST_SUITE_P(Shapes, XorMmaTilesOnCuda,
                         testing::Values(Case{{70, 0, 1, 50}, 1, 16, 32}, Case{{33, 40}, 2, 64, 64},
                                         Case{{100, 70}, 1, 128, 64}));

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

// Shapes and views that tensor cores cannot take are left to the generic kernel.
TEST(XorMma, SaysWhatItCannotTake) {
  const std::vector<int64_t> offsets = {0, 8};
  if (!skip_reason({DeviceType::cuda, 0}).empty()) GTEST_SKIP();
  Context ctx({DeviceType::cuda, 0});
  const DeviceJagged history(ctx, offsets);
  const auto takes = [&](int64_t width, int64_t links, DType type, int64_t column) {
    const Tensor memory(ctx.device(), type, 8 + links, 2 * width + 8);
    const View a = memory.view().slice_cols(column, column + width),
               b = memory.view().slice_cols(column + width, column + 2 * width);
    const View h = a.slice_rows(0, 8), h2 = b.slice_rows(0, 8), l = a.slice_rows(8, 8 + links),
               l2 = b.slice_rows(8, 8 + links);
    return cuda::xor_attention_mma(ctx, {1, links, history, 0}, false, {{}, h, h2}, {l, {}, {}}, {}, l2);
  };
  EXPECT_TRUE(takes(32, 16, DType::bf16, 0));
  EXPECT_TRUE(takes(128, 128, DType::bf16, 8));
  EXPECT_FALSE(takes(32, 16, DType::bf16, 1));
  EXPECT_FALSE(takes(32, 16, DType::f32, 0));
  EXPECT_FALSE(takes(48, 16, DType::bf16, 0));
  EXPECT_FALSE(takes(32, 20, DType::bf16, 0));
  EXPECT_FALSE(takes(32, 144, DType::bf16, 0));
}

// --- Link attention
// --------------------------------------------------------------------------------------------------

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
