// Target attention against a softmax that builds all scores, and against finite differences.
#include "layers/attention/target_attention.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/layers/gradient_check.h"

namespace lime {
namespace {

struct Shape {
  std::vector<int64_t> history, candidates;
  int64_t heads, head_width;
  double deviation;  // of queries: large ones make the running maximum jump from block to block
};

// Histories and candidates around the length of a block (64); none of either; odd widths.
const std::vector<Shape> shapes = {
    {{1}, {1}, 1, 1, 1},           {{0, 3}, {2, 0}, 2, 5, 1}, {{64, 65, 0}, {1, 3, 4}, 2, 16, 4},
    {{130, 7}, {70, 2}, 1, 8, 30}, {{300}, {5}, 3, 7, 1},
};

class TargetAttentionTest : public testing::TestWithParam<size_t> {
 protected:
  TargetAttentionTest()
      : shape(shapes[GetParam()]),
        history_offsets(offsets_of(shape.history)),
        candidate_offsets(offsets_of(shape.candidates)),
        attention{shape.heads, Jagged(history_offsets), Jagged(candidate_offsets)} {}
  int64_t width() const { return shape.heads * shape.head_width; }

  // [K|V] side by side: strides are not widths.
  struct Data {
    Data(const Context& ctx, const TargetAttentionTest& t)
        : q(random_tensor(ctx, t.attention.candidates.rows(), t.width(), 1, t.shape.deviation)),
          kv(random_tensor(ctx, t.attention.history.rows(), 2 * t.width(), 2)),
          out(random_tensor(ctx, q.rows(), t.width(), 3)),
          lse(random_tensor(ctx, q.rows(), t.shape.heads, 4)),
          weight(random_tensor(ctx, q.rows(), t.width(), 5)),
          dq(random_tensor(ctx, q.rows(), t.width(), 6)),
          dkv(random_tensor(ctx, kv.rows(), 2 * t.width(), 7)),
          d(t.width()) {}
    View k(const Tensor& x) const { return x.view().slice_cols(0, d); }
    View v(const Tensor& x) const { return x.view().slice_cols(d, 2 * d); }
    Tensor q, kv, out, lse, weight, dq, dkv;
    int64_t d;
  };
  void forward(Context& ctx, Data& x) const {
    target_attention(ctx, attention, x.q.view(), x.k(x.kv), x.v(x.kv), x.out, x.lse);
  }

  Shape shape;
  std::vector<int64_t> history_offsets, candidate_offsets;
  TargetAttention attention;
};

TEST_P(TargetAttentionTest, IsItsDefinition) {
  for (const DType type : {DType::f64, DType::f32}) {
    Context ctx({}, type);
    Data x(ctx, *this);
    forward(ctx, x);
    const double tolerance = type == DType::f64 ? 1e-12 : 5e-5;
    for (int64_t b = 0; b < attention.history.segments(); ++b)
      for (int64_t c = attention.candidates.begin(b); c < attention.candidates.end(b); ++c)
        for (int64_t h = 0; h < shape.heads; ++h) {
          std::vector<double> p;
          double most = -1e300, sum = 0;
          for (int64_t j = attention.history.begin(b); j < attention.history.end(b); ++j) {
            double score = 0;
            for (int64_t i = h * shape.head_width; i < (h + 1) * shape.head_width; ++i)
              score += value_at(x.q.view(), c, i) * value_at(x.kv.view(), j, i);
            p.push_back(score / std::sqrt(static_cast<double>(shape.head_width)));
            most = std::max(most, p.back());
          }
          for (double& w : p) sum += w = std::exp(w - most);
          for (int64_t i = h * shape.head_width; i < (h + 1) * shape.head_width; ++i) {
            double expected = 0;
            for (size_t j = 0; j < p.size(); ++j)
              expected +=
                  p[j] / sum *
                  value_at(x.kv.view(), attention.history.begin(b) + static_cast<int64_t>(j), width() + i);
            ASSERT_NEAR(value_at(x.out.view(), c, i), expected, tolerance) << "candidate " << c;
          }
          if (!p.empty()) {
            ASSERT_NEAR(value_at(x.lse.view(), c, h), most + std::log(sum), 10 * tolerance);
          }
        }
  }
}

TEST_P(TargetAttentionTest, GradientsAreFiniteDifferences) {
  if (shape.deviation > 10) GTEST_SKIP() << "steps of a saturated softmax are too coarse for differences";
  Context ctx({}, DType::f64);
  Data x(ctx, *this);
  forward(ctx, x);
  target_attention_backward(ctx, attention, x.q.view(), x.k(x.kv), x.v(x.kv), x.out.view(), x.lse.view(),
                            x.weight.view(), x.dq, x.k(x.dkv), x.v(x.dkv));
  GradientCheck check;
  check.add("q", x.q, x.dq);
  check.add("k", x.k(x.kv), x.k(x.dkv));
  check.add("v", x.v(x.kv), x.v(x.dkv));
  check.check([&] {
    forward(ctx, x);
    return dot(x.out.view(), x.weight.view());
  });
}

INSTANTIATE_TEST_SUITE_P(Shapes, TargetAttentionTest, testing::Range<size_t>(0, shapes.size()));

}  // namespace
}  // namespace lime
