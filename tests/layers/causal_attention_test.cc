// Causal attention with targets against a plain reference that builds all scores, and against finite
// differences.
#include "layers/attention/causal_attention.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/layers/gradient_check.h"

namespace lime {
namespace {

struct Shape {
  std::vector<int64_t> history, candidates;
  int64_t heads, head_width;
};

// Histories around the length of a block (64), none, one event; no and many candidates; odd widths.
const std::vector<Shape> shapes = {
    {{1}, {1}, 1, 1},          {{0, 3}, {2, 0}, 2, 5}, {{64, 65, 0}, {1, 3, 4}, 2, 16},
    {{130, 7}, {70, 2}, 1, 8}, {{200}, {5}, 3, 7},
};

// [Q|K|V] side by side: strides are not widths.
struct Side {
  Side(const Context& ctx, int64_t rows, int64_t width, uint64_t seed)
      : d(width),
        x(random_tensor(ctx, rows, 3 * d, seed)),
        dx(ctx.device(), ctx.dtype(), rows, 3 * d),
        out(ctx.device(), ctx.dtype(), rows, d),
        weight(random_tensor(ctx, rows, d, seed + 10)) {
    fill_random(dx, seed + 20);  // gradients are overwritten
    fill_random(out, seed + 30);
  }
  View part(const View& v, int64_t i) const { return v.slice_cols(i * d, (i + 1) * d); }
  AttentionRows rows(bool with_q = true) const {
    return {with_q ? part(x, 0) : View{}, part(x, 1), part(x, 2)};
  }
  AttentionRowsGrad grads(bool with_q = true) const {
    return {with_q ? part(dx, 0) : View{}, part(dx, 1), part(dx, 2)};
  }
  int64_t d;
  Tensor x, dx, out, weight;
};

class CausalAttentionTest : public testing::TestWithParam<std::tuple<size_t, bool>> {
 protected:
  CausalAttentionTest()
      : shape(shapes[std::get<0>(GetParam())]),
        both(std::get<1>(GetParam())),
        history_offsets(offsets_of(shape.history)),
        candidate_offsets(offsets_of(shape.candidates)),
        history(history_offsets),
        candidates(candidate_offsets) {}

  void run(Context& ctx, Side& h, Side& c) const {
    causal_attention(ctx, {shape.heads, history, candidates}, h.rows(both), c.rows(),
                     both ? View(h.out) : View{}, c.out);
  }
  void run_backward(Context& ctx, Side& h, Side& c) const {
    causal_attention_backward(ctx, {shape.heads, history, candidates}, h.rows(both), c.rows(),
                              both ? View(h.weight) : View{}, c.weight, h.grads(both), c.grads());
  }
  int64_t width() const { return shape.heads * shape.head_width; }

  Shape shape;
  bool both;
  std::vector<int64_t> history_offsets, candidate_offsets;
  Jagged history, candidates;
};

// The definition, one row at a time.
double reference(const Side& queries, int64_t row, const Side& keys, const std::vector<int64_t>& seen,
                 bool own, int64_t n, int64_t head_width, int64_t column) {
  const int64_t d = queries.d, head = column / head_width;
  double out = 0;
  const auto add = [&](const Side& from, int64_t key) {
    double score = 0;
    for (int64_t i = head * head_width; i < (head + 1) * head_width; ++i)
      score += value_at(queries.x.view(), row, i) * value_at(from.x.view(), key, d + i);
    score /= std::sqrt(static_cast<double>(head_width));
    out += score / (1 + std::exp(-score)) / static_cast<double>(n + 1) *
           value_at(from.x.view(), key, 2 * d + column);
  };
  for (const int64_t key : seen) add(keys, key);
  if (own) add(queries, row);
  return out;
}

TEST_P(CausalAttentionTest, IsItsDefinition) {
  for (const DType type : {DType::f64, DType::f32}) {
    Context ctx({}, type);
    Side h(ctx, history.rows(), width(), 1), c(ctx, candidates.rows(), width(), 2);
    run(ctx, h, c);
    const double tolerance = type == DType::f64 ? 1e-12 : 2e-5;
    for (int64_t b = 0; b < history.segments(); ++b) {
      std::vector<int64_t> seen;
      for (int64_t i = history.begin(b); i < history.end(b); ++i) {
        seen.push_back(i);
        for (int64_t j = 0; both && j < width(); ++j)
          ASSERT_NEAR(value_at(h.out.view(), i, j),
                      reference(h, i, h, seen, false, history.length(b), shape.head_width, j), tolerance)
              << "history row " << i << ", column " << j;
      }
      for (int64_t i = candidates.begin(b); i < candidates.end(b); ++i)
        for (int64_t j = 0; j < width(); ++j)
          ASSERT_NEAR(value_at(c.out.view(), i, j),
                      reference(c, i, h, seen, true, history.length(b), shape.head_width, j), tolerance)
              << "candidate " << i << ", column " << j;
    }
  }
}

TEST_P(CausalAttentionTest, GradientsAreFiniteDifferences) {
  Context ctx({}, DType::f64);
  Side h(ctx, history.rows(), width(), 1), c(ctx, candidates.rows(), width(), 2);
  run_backward(ctx, h, c);
  GradientCheck check;
  check.add("history k", h.part(h.x, 1), h.part(h.dx, 1));
  check.add("history v", h.part(h.x, 2), h.part(h.dx, 2));
  if (both) check.add("history q", h.part(h.x, 0), h.part(h.dx, 0));
  for (int64_t i = 0; i < 3; ++i) check.add(str("candidates ", "qkv"[i]), c.part(c.x, i), c.part(c.dx, i));
  check.check([&] {
    run(ctx, h, c);
    return (both ? dot(h.out.view(), h.weight.view()) : 0.0) + dot(c.out.view(), c.weight.view());
  });
}

TEST_P(CausalAttentionTest, SameBitsTwice) {
  Context ctx;
  Side h(ctx, history.rows(), width(), 1), c(ctx, candidates.rows(), width(), 2);
  const auto digest = [&] {
    run(ctx, h, c);
    run_backward(ctx, h, c);
    double sum = 0;
    for (const Tensor* t : {&c.out, &c.dx, &h.dx})
      for (int64_t r = 0; r < t->rows(); ++r)
        for (int64_t i = 0; i < t->cols(); ++i)
          if (both || t != &h.dx || i >= width()) sum = 31 * sum / 32 + value_at(t->view(), r, i);
    return sum;
  };
  const double first = digest();
  EXPECT_EQ(digest(), first);
}

INSTANTIATE_TEST_SUITE_P(Shapes, CausalAttentionTest,
                         testing::Combine(testing::Range<size_t>(0, shapes.size()), testing::Bool()));

}  // namespace
}  // namespace lime
