// The kernels of causal and of target attention of a CUDA device against those of the CPU in f64 on the same
// (rounded) inputs, which causal_attention_test.cc and target_attention_test.cc compare with the definitions.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "layers/attention/query_attention_mma_cuda.h"
#include "tests/layers/device_buffer.h"

namespace lime {
namespace {

struct Case {
  std::vector<int64_t> history, candidates;
  int64_t heads, head_width;
  int64_t width() const { return heads * head_width; }
};

void PrintTo(const Case& c, std::ostream* out) {
  *out << c.heads << " heads of " << c.head_width << ", histories of";
  for (const int64_t n : c.history) *out << ' ' << n;
  *out << ", candidates";
  for (const int64_t n : c.candidates) *out << ' ' << n;
}

// Sums of at most a few hundred terms, and exponentials.
constexpr Tolerance f64_tolerance{1e-12, 1e-12}, f32_tolerance{2e-6, 1e-5};
// What is multiplied has 11 bits: of a few terms, some are several times their root mean square.
constexpr Tolerance tf32_tolerance{1.0 / 1024, 1.0 / 128};
// The generic kernels round results to 8 bits, and weights to 11; but softmax takes delta, a difference of
// like numbers where the history is short, from rounded outputs.
// The one weight of a history of one row is 1 but for rounding, and its gradient 0.
constexpr Tolerance bf16_tolerance{1.0 / 256, 1.0 / 128}, bf16_softmax{1.0 / 128, 1.0 / 32, 1e-5};
// Tensor cores have weights rounded to 8 bits: of a few terms, some are several times their root mean square.
// A weight near 1 multiplies delta's error, beside which other gradients of the request are small.
constexpr Tolerance mma_tolerance{1.0 / 256, 1.0 / 32}, mma_softmax = bf16_softmax,
                                                        mma_peaked{1.0 / 128, 1.0 / 8, 1e-5};

enum class Kernels { any, mma };

class QueriesOnCuda : public DeviceTest, public testing::WithParamInterface<Case> {
 protected:
  QueriesOnCuda()
      : DeviceTest({DeviceType::cuda, 0}),
        shape(GetParam()),
        history(ctx, offsets_of(shape.history)),
        candidates(ctx, offsets_of(shape.candidates)) {}
  int64_t rows() const { return offsets_of(shape.history).back(); }
  int64_t targets() const { return offsets_of(shape.candidates).back(); }
  Jagged events() const { return history; }
  Jagged requests() const { return candidates; }
  // NaN is never equal, its bits are.
  static void expect_same_bits(const std::vector<std::vector<double>>& a,
                               const std::vector<std::vector<double>>& b) {
    for (size_t i = 0; i < a.size(); ++i)
      EXPECT_EQ(std::memcmp(a[i].data(), b[i].data(), a[i].size() * sizeof(double)), 0) << "result " << i;
  }
  static void expect_finite(std::initializer_list<const Buffer*> buffers) {
    for (const Buffer* b : buffers)
      for (const double value : b->download()) ASSERT_TRUE(std::isfinite(value));
  }

  Case shape;
  DeviceJagged history, candidates;
};

// --- causal attention
// -----------------------------------------------------------------------------------------------------

class CausalOnCuda : public QueriesOnCuda {
 protected:
  struct Views {
    View h, c, h_out, c_out, dh_out, dc_out, dh, dc;
  };
  AttentionRows rows_of(const View& x, bool q = true) const {
    const int64_t d = shape.width();
    return {q ? x.slice_cols(0, d) : View(), x.slice_cols(d, 2 * d), x.slice_cols(2 * d, 3 * d)};
  }
  AttentionRowsGrad grads_of(const View& x, bool q = true) const {
    const int64_t d = shape.width();
    return {q ? x.slice_cols(0, d) : View(), x.slice_cols(d, 2 * d), x.slice_cols(2 * d, 3 * d)};
  }
  void run(Context& device, Kernels kernels, bool both, const Views& v) const {
    const CausalAttention a{shape.heads, events(), requests()};
    const View h_out = both ? v.h_out : View(), dh_out = both ? v.dh_out : View();
    if (kernels == Kernels::mma) {
      EXPECT_TRUE(cuda::causal_attention_mma(device, a, rows_of(v.h, both), rows_of(v.c), h_out, v.c_out));
      EXPECT_TRUE(cuda::causal_attention_backward_mma(device, a, rows_of(v.h, both), rows_of(v.c), dh_out,
                                                      v.dc_out, grads_of(v.dh, both), grads_of(v.dc)));
      return;
    }
    causal_attention(device, a, rows_of(v.h, both), rows_of(v.c), h_out, v.c_out);
    causal_attention_backward(device, a, rows_of(v.h, both), rows_of(v.c), dh_out, v.dc_out,
                              grads_of(v.dh, both), grads_of(v.dc));
  }
  // All results against the reference, and the same bits when run again.
  void compare(DType type, int64_t guard, Kernels kernels, Tolerance tolerance) {
    Context device(ctx.device(), type);
    device.allow_tf32(ctx.tf32());
    const int64_t d = shape.width();
    const auto input = [&](int64_t n, int64_t cols, uint64_t seed) {
      return Buffer::input(device, type, n, cols, guard, seed);
    };
    const auto output = [&](int64_t n, int64_t cols, double start) {
      return Buffer::output(device, type, n, cols, guard, start);
    };
    for (const bool both : {true, false}) {
      Buffer h = input(rows(), 3 * d, 1), c = input(targets(), 3 * d, 2), dh_out = input(rows(), d, 3),
             dc_out = input(targets(), d, 4);
      std::vector<std::vector<double>> before;
      for (int repeat = 0; repeat < 2; ++repeat) {
        Buffer h_out = output(rows(), d, both ? NAN : 0), c_out = output(targets(), d, NAN),
               dh = output(rows(), 3 * d, both ? NAN : 0), dc = output(targets(), 3 * d, NAN);
        const auto views = [&](auto of) {
          return Views{of(h), of(c), of(h_out), of(c_out), of(dh_out), of(dc_out), of(dh), of(dc)};
        };
        run(device, kernels, both, views([](Buffer& b) { return b.device(); }));
        std::vector<std::vector<double>> now = {h_out.download(), c_out.download(), dh.download(),
                                                dc.download()};
        if (repeat == 1) {
          expect_same_bits(now, before);
          continue;
        }
        before = std::move(now);
        Context f64({}, DType::f64);
        run(f64, Kernels::any, both, views([](Buffer& b) { return b.reference(); }));
        const auto of_history = offsets_of(shape.history), of_candidates = offsets_of(shape.candidates);
        h_out.expect_near(of_history, tolerance, "history out");
        c_out.expect_near(of_candidates, tolerance, "candidates out");
        dh.expect_near(of_history, tolerance, "gradient of history");
        dc.expect_near(of_candidates, tolerance, "gradient of candidates");
      }
    }
  }
};

TEST_P(CausalOnCuda, F64) { compare(DType::f64, 3, Kernels::any, f64_tolerance); }
TEST_P(CausalOnCuda, F32) { compare(DType::f32, 3, Kernels::any, f32_tolerance); }
TEST_P(CausalOnCuda, Tf32) {
  ctx.allow_tf32(true);
  compare(DType::f32, 3, Kernels::any, tf32_tolerance);
}
// Rows that are not at multiples of 16 bytes.
TEST_P(CausalOnCuda, Bf16) { compare(DType::bf16, 3, Kernels::any, bf16_tolerance); }

const std::vector<Case> odd_shapes = {{{4}, {1}, 1, 1},
                                      {{0, 1, 5}, {2, 0, 3}, 2, 5},
                                      {{33, 0, 70, 2}, {1, 4, 34, 0}, 2, 4},
                                      {{64, 31}, {32, 1}, 1, 32},
                                      {{35}, {3}, 1, 70}};
INSTANTIATE_TEST_SUITE_P(Shapes, CausalOnCuda, testing::ValuesIn(odd_shapes));

class CausalMmaOnCuda : public CausalOnCuda {};

TEST_P(CausalMmaOnCuda, Bf16) { compare(DType::bf16, 8, Kernels::mma, mma_tolerance); }

// Around 16 rows, a tile of 64, and a block of 64 or 128; none and one of either.
const std::vector<Case> mma_shapes = {{{1}, {1}, 1, 32},           {{70, 0, 1, 33}, {3, 2, 0, 17}, 2, 32},
                                      {{200, 5}, {130, 0}, 1, 32}, {{64, 128}, {16, 64}, 1, 32},
                                      {{65, 140}, {1, 33}, 1, 64}, {{81}, {66}, 1, 128}};
INSTANTIATE_TEST_SUITE_P(Shapes, CausalMmaOnCuda, testing::ValuesIn(mma_shapes));

// Few candidates of long histories, whose keys are read in parts: more of them than some histories have.
class CausalMmaPartsOnCuda : public CausalOnCuda {};

TEST_P(CausalMmaPartsOnCuda, Bf16) { compare(DType::bf16, 8, Kernels::mma, mma_tolerance); }
INSTANTIATE_TEST_SUITE_P(Shapes, CausalMmaPartsOnCuda, testing::Values(Case{{520}, {20}, 1, 32}));

class CausalMmaHugeOnCuda : public CausalOnCuda {};

TEST_P(CausalMmaHugeOnCuda, ScoresStayFinite) {
  Context device(ctx.device(), DType::bf16);
  const int64_t d = shape.width();
  const auto input = [&](int64_t n, int64_t cols, uint64_t seed, double deviation) {
    return Buffer::input(device, DType::bf16, n, cols, 8, seed, deviation);
  };
  const auto output = [&](int64_t n, int64_t cols) {
    return Buffer::output(device, DType::bf16, n, cols, 8, 0);
  };
  const Buffer h = input(rows(), 3 * d, 1, 1e6), c = input(targets(), 3 * d, 2, 1e6),
               dh_out = input(rows(), d, 3, 1), dc_out = input(targets(), d, 4, 1);
  const Buffer h_out = output(rows(), d), c_out = output(targets(), d), dh = output(rows(), 3 * d),
               dc = output(targets(), 3 * d);
  run(device, Kernels::mma, true,
      {h.device(), c.device(), h_out.device(), c_out.device(), dh_out.device(), dc_out.device(), dh.device(),
       dc.device()});
  expect_finite({&h_out, &c_out, &dh, &dc});
}
INSTANTIATE_TEST_SUITE_P(Shapes, CausalMmaHugeOnCuda, testing::Values(Case{{70, 3}, {5, 0}, 1, 32}));

// --- target attention
// -----------------------------------------------------------------------------------------------------

class TargetOnCuda : public QueriesOnCuda {
 protected:
  struct Views {
    View q, kv, dout, out, lse, dq, dkv;
  };
  void run(Context& device, Kernels kernels, const Views& v) const {
    const int64_t d = shape.width();
    const TargetAttention a{shape.heads, events(), requests()};
    const View k = v.kv.slice_cols(0, d), values = v.kv.slice_cols(d, 2 * d), dk = v.dkv.slice_cols(0, d),
               dv = v.dkv.slice_cols(d, 2 * d);
    if (kernels == Kernels::mma) {
      EXPECT_TRUE(cuda::target_attention_mma(device, a, v.q, k, values, v.out, v.lse));
      EXPECT_TRUE(
          cuda::target_attention_backward_mma(device, a, v.q, k, values, v.out, v.lse, v.dout, v.dq, dk, dv));
      return;
    }
    target_attention(device, a, v.q, k, values, v.out, v.lse);
    target_attention_backward(device, a, v.q, k, values, v.out, v.lse, v.dout, v.dq, dk, dv);
  }
  // `deviation` of queries: large ones make the running maximum jump.
  void compare(DType type, int64_t guard, double deviation, Kernels kernels, Tolerance tolerance) {
    Context device(ctx.device(), type);
    device.allow_tf32(ctx.tf32());
    const int64_t d = shape.width();
    Buffer q = Buffer::input(device, type, targets(), d, guard, 1, deviation),
           kv = Buffer::input(device, type, rows(), 2 * d, guard, 2),
           dout = Buffer::input(device, type, targets(), d, guard, 3);
    std::vector<std::vector<double>> before;
    for (int repeat = 0; repeat < 2; ++repeat) {
      const auto output = [&](DType t, int64_t n, int64_t cols) {
        return Buffer::output(device, t, n, cols, guard, NAN);
      };
      Buffer out = output(type, targets(), d), lse = output(device.parameter_dtype(), targets(), shape.heads),
             dq = output(type, targets(), d), dkv = output(type, rows(), 2 * d);
      const auto views = [&](auto of) {
        return Views{of(q), of(kv), of(dout), of(out), of(lse), of(dq), of(dkv)};
      };
      run(device, kernels, views([](Buffer& b) { return b.device(); }));
      std::vector<std::vector<double>> now = {out.download(), lse.download(), dq.download(), dkv.download()};
      if (repeat == 1) {
        expect_same_bits(now, before);
        continue;
      }
      before = std::move(now);
      Context f64({}, DType::f64);
      run(f64, Kernels::any, views([](Buffer& b) { return b.reference(); }));
      const auto of_history = offsets_of(shape.history), of_candidates = offsets_of(shape.candidates);
      out.expect_near(of_candidates, tolerance, "out");
      // Scores are sums of exact products in f32, but of rows that are rounded to tf32.
      const Tolerance of_scores = ctx.tf32()           ? tf32_tolerance
                                  : type == DType::f64 ? f64_tolerance
                                                       : f32_tolerance;
      lse.expect_near(of_candidates, of_scores, "log-sum-exp");
      dq.expect_near(of_candidates, tolerance, "gradient of q");
      dkv.expect_near(of_history, tolerance, "gradient of k|v");
    }
  }
};

TEST_P(TargetOnCuda, F64) { compare(DType::f64, 3, 4, Kernels::any, f64_tolerance); }
TEST_P(TargetOnCuda, F32) { compare(DType::f32, 3, 1, Kernels::any, f32_tolerance); }
TEST_P(TargetOnCuda, Tf32) {
  ctx.allow_tf32(true);
  compare(DType::f32, 3, 1, Kernels::any, tf32_tolerance);
}
TEST_P(TargetOnCuda, Bf16) { compare(DType::bf16, 3, 1, Kernels::any, bf16_softmax); }
INSTANTIATE_TEST_SUITE_P(Shapes, TargetOnCuda, testing::ValuesIn(odd_shapes));

class TargetMmaOnCuda : public TargetOnCuda {};

TEST_P(TargetMmaOnCuda, Bf16) { compare(DType::bf16, 8, 1, Kernels::mma, mma_softmax); }
TEST_P(TargetMmaOnCuda, MaximaThatJump) { compare(DType::bf16, 8, 8, Kernels::mma, mma_peaked); }
INSTANTIATE_TEST_SUITE_P(Shapes, TargetMmaOnCuda, testing::ValuesIn(mma_shapes));

class TargetMmaPartsOnCuda : public TargetOnCuda {};

TEST_P(TargetMmaPartsOnCuda, Bf16) { compare(DType::bf16, 8, 1, Kernels::mma, mma_softmax); }
TEST_P(TargetMmaPartsOnCuda, MaximaThatJump) { compare(DType::bf16, 8, 4, Kernels::mma, mma_peaked); }
INSTANTIATE_TEST_SUITE_P(Shapes, TargetMmaPartsOnCuda,
                         testing::Values(Case{{1700, 0, 40}, {5, 2, 17}, 2, 32}, Case{{800}, {70}, 1, 64}));

class TargetMmaHugeOnCuda : public TargetOnCuda {};

TEST_P(TargetMmaHugeOnCuda, ScoresStayFinite) {
  Context device(ctx.device(), DType::bf16);
  const int64_t d = shape.width();
  const Buffer q = Buffer::input(device, DType::bf16, targets(), d, 8, 1, 1e6),
               kv = Buffer::input(device, DType::bf16, rows(), 2 * d, 8, 2, 1e6),
               dout = Buffer::input(device, DType::bf16, targets(), d, 8, 3);
  const auto output = [&](DType type, int64_t n, int64_t cols) {
    return Buffer::output(device, type, n, cols, 8, 0);
  };
  const Buffer out = output(DType::bf16, targets(), d), lse = output(DType::f32, targets(), shape.heads),
               dq = output(DType::bf16, targets(), d), dkv = output(DType::bf16, rows(), 2 * d);
  run(device, Kernels::mma,
      {q.device(), kv.device(), dout.device(), out.device(), lse.device(), dq.device(), dkv.device()});
  expect_finite({&out, &lse, &dq, &dkv});
}
// What is not a number must not look like one.
TEST_P(TargetMmaHugeOnCuda, NotANumberStaysOne) {
  Context device(ctx.device(), DType::bf16);
  const int64_t d = shape.width();
  const auto output = [&](DType type, int64_t n, int64_t cols) {
    return Buffer::output(device, type, n, cols, 8, 0);
  };
  const Buffer q = Buffer::input(device, DType::bf16, targets(), d, 8, 1);
  Buffer kv = Buffer::input(device, DType::bf16, rows(), 2 * d, 8, 2);
  kv.reference().row<double>(17)[3] = NAN;  // of a key
  kv.upload();
  Buffer out = output(DType::bf16, targets(), d), lse = output(DType::f32, targets(), shape.heads);
  const TargetAttention a{shape.heads, events(), requests()};
  target_attention(device, a, q.device(), kv.device().slice_cols(0, d), kv.device().slice_cols(d, 2 * d),
                   out.device(), lse.device());
  for (Buffer* b : {&out, &lse}) {
    b->read();
    for (const double value : values_of(b->reference())) ASSERT_TRUE(std::isnan(value));
  }
}
INSTANTIATE_TEST_SUITE_P(Shapes, TargetMmaHugeOnCuda, testing::Values(Case{{70, 3}, {5, 0}, 1, 32}));

// Shapes and views that tensor cores cannot take are left to the generic kernels.
TEST(QueryMma, SaysWhatItCannotTake) {
  if (!skip_reason({DeviceType::cuda, 0}).empty()) GTEST_SKIP();
  Context ctx({DeviceType::cuda, 0}, DType::bf16);
  const std::vector<int64_t> offsets = {0, 8};
  const DeviceJagged jagged(ctx, offsets);
  const auto takes = [&](int64_t width, DType type, int64_t column) {
    const Tensor memory(ctx.device(), type, 8, 2 * width + 8), lse(ctx.device(), DType::f32, 8, 1);
    const View a = memory.view().slice_cols(column, column + width),
               b = memory.view().slice_cols(column + width, column + 2 * width);
    const bool target = cuda::target_attention_mma(ctx, {1, jagged, jagged}, a, a, a, b, lse);
    EXPECT_EQ(cuda::causal_attention_mma(ctx, {1, jagged, jagged}, {{}, a, a}, {a, a, a}, {}, b), target);
    return target;
  };
  EXPECT_TRUE(takes(32, DType::bf16, 0));
  EXPECT_TRUE(takes(128, DType::bf16, 8));
  EXPECT_FALSE(takes(32, DType::bf16, 1));
  EXPECT_FALSE(takes(32, DType::f32, 0));
  EXPECT_FALSE(takes(48, DType::bf16, 0));
  EXPECT_FALSE(takes(256, DType::bf16, 0));
}

}  // namespace
}  // namespace lime
