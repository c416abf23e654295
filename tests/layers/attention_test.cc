// The two attention operations against plain references that build the whole score matrix, and against finite
// differences.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "layers/attention/link_attention.h"
#include "layers/attention/xor_attention.h"
#include "tests/layers/gradient_check.h"

namespace lime {
namespace {

struct Shape {
  std::vector<int64_t> lengths;
  int64_t heads, links, head_width;
  int64_t width() const { return heads * head_width; }
};

const std::vector<Shape> shapes = {
    {{4}, 1, 1, 1},        {{0, 1, 5}, 2, 3, 5},        {{33, 0, 70, 2}, 3, 7, 4},
    {{64, 31}, 1, 32, 32}, {{100, 0, 0, 1}, 2, 17, 16}, {{2, 300}, 4, 16, 8},
};

class Attention : public testing::TestWithParam<size_t> {
 protected:
  Attention() : shape(shapes[GetParam()]), offsets(offsets_of(shape.lengths)), history(offsets) {}

  int64_t rows() const { return history.rows(); }
  int64_t link_rows() const { return history.segments() * shape.links; }
  // Tiles that cut requests at odd places.
  int64_t tile() const { return std::max<int64_t>(1, rows() / 3 + 1); }

  Shape shape;
  std::vector<int64_t> offsets;
  Jagged history;
};

// --- XOR attention
// ---------------------------------------------------------------------------------------------------

class XorAttention : public Attention {};

// [Q|K|V] side by side for history and links, as in the network: strides are not widths.
struct XorData {
  XorData(const Context& ctx, int64_t rows, int64_t link_rows, int64_t d)
      : h(random_tensor(ctx, rows, 3 * d, 1)),
        l(random_tensor(ctx, link_rows, 3 * d, 2)),
        h_out(ctx.device(), ctx.dtype(), rows, d),
        l_out(ctx.device(), ctx.dtype(), link_rows, d),
        dh(ctx.device(), ctx.dtype(), rows, 3 * d),
        dl(ctx.device(), ctx.dtype(), link_rows, 3 * d),
        width(d) {}
  View q(const View& x) const { return x.slice_cols(0, width); }
  View k(const View& x) const { return x.slice_cols(width, 2 * width); }
  View v(const View& x) const { return x.slice_cols(2 * width, 3 * width); }

  Tensor h, l, h_out, l_out, dh, dl;
  int64_t width;
};

void run_xor(Context& ctx, XorData& x, const Shape& s, const Jagged& history, int64_t tile, bool both) {
  std::memset(x.l_out.view().raw(), 0, static_cast<size_t>(x.l_out.view().size()) * size_of(ctx.dtype()));
  for (int64_t first = 0; first < history.rows(); first += tile) {
    const int64_t end = std::min(first + tile, history.rows());
    const View h = x.h.view().slice_rows(first, end), l = x.l;
    if (both)
      xor_attention(ctx, {s.heads, s.links, history, first}, {x.q(h), x.k(h), x.v(h)},
                    {x.q(l), x.k(l), x.v(l)}, x.h_out.view().slice_rows(first, end), x.l_out);
    else
      xor_attention(ctx, {s.heads, s.links, history, first}, {{}, x.k(h), x.v(h)}, {x.q(l), {}, {}}, {},
                    x.l_out);
  }
}

void run_xor_backward(Context& ctx, XorData& x, const Shape& s, const Jagged& history, int64_t tile,
                      bool both, const ConstView& dh_out, const ConstView& dl_out) {
  for (int64_t first = 0; first < history.rows(); first += tile) {
    const int64_t end = std::min(first + tile, history.rows());
    const View h = x.h.view().slice_rows(first, end), dh = x.dh.view().slice_rows(first, end), l = x.l,
               dl = x.dl;
    const XorAttentionTile t{s.heads, s.links, history, first};
    if (both)
      xor_attention_backward(ctx, t, {x.q(h), x.k(h), x.v(h)}, {x.q(l), x.k(l), x.v(l)},
                             dh_out.slice_rows(first, end), dl_out, {x.q(dh), x.k(dh), x.v(dh)},
                             {x.q(dl), x.k(dl), x.v(dl)});
    else
      xor_attention_backward(ctx, t, {{}, x.k(h), x.v(h)}, {x.q(l), {}, {}}, {}, dl_out,
                             {{}, x.k(dh), x.v(dh)}, {x.q(dl), {}, {}});
  }
}

// The definition: the full [links + N]^2 matrix of a request, masked by [i is a link] xor [j is a link].
void dense_xor(const XorData& x, const Shape& s, const Jagged& history, std::vector<double>& out) {
  const int64_t d = s.width();
  out.clear();
  for (int64_t b = 0; b < history.segments(); ++b) {
    const int64_t n = history.length(b), size = s.links + n;
    const auto at = [&](int64_t i, int64_t part, int64_t c) {
      return i < s.links ? value_at(x.l.view(), b * s.links + i, part * d + c)
                         : value_at(x.h.view(), history.begin(b) + i - s.links, part * d + c);
    };
    for (int64_t i = 0; i < size; ++i)
      for (int64_t h = 0; h < s.heads; ++h) {
        std::vector<double> sum(static_cast<size_t>(s.head_width), 0.0);
        for (int64_t j = 0; j < size; ++j) {
          const bool mask = (i < s.links) != (j < s.links);
          double score = 0;
          for (int64_t c = h * s.head_width; c < (h + 1) * s.head_width; ++c)
            score += at(i, 0, c) * at(j, 1, c);
          score /= std::sqrt(static_cast<double>(s.head_width));
          const double a = mask ? score / (1 + std::exp(-score)) : 0.0;
          const double count = static_cast<double>(i < s.links ? n : s.links);
          for (int64_t c = 0; c < s.head_width; ++c)
            if (mask) sum[static_cast<size_t>(c)] += a / count * at(j, 2, h * s.head_width + c);
        }
        out.insert(out.end(), sum.begin(), sum.end());
      }
  }
}

// Largest difference from the reference, links and history.
double difference(const XorData& x, const Shape& s, const Jagged& history, const std::vector<double>& dense,
                  bool both) {
  double worst = 0;
  size_t at = 0;
  for (int64_t b = 0; b < history.segments(); ++b)
    for (int64_t i = 0; i < s.links + history.length(b); ++i)
      for (int64_t c = 0; c < s.width(); ++c, ++at) {
        if (i >= s.links && !both) continue;
        const double got = i < s.links ? value_at(x.l_out.view(), b * s.links + i, c)
                                       : value_at(x.h_out.view(), history.begin(b) + i - s.links, c);
        worst = std::max(worst, std::abs(got - dense[at]));
      }
  return worst;
}

TEST_P(XorAttention, EqualsTheDenseMaskedMatrix) {
  for (const bool both : {true, false}) {
    Context f64({}, DType::f64), f32({}, DType::f32);
    XorData wide(f64, rows(), link_rows(), shape.width()), narrow(f32, rows(), link_rows(), shape.width());
    std::vector<double> dense;
    dense_xor(wide, shape, history, dense);
    run_xor(f64, wide, shape, history, tile(), both);
    EXPECT_LE(difference(wide, shape, history, dense, both), 1e-12);
    run_xor(f32, narrow, shape, history, tile(), both);
    // Scores are sums of head_width products of normals, rounded to f32, then averaged: a few ulp of values
    // up to ~30.
    EXPECT_LE(difference(narrow, shape, history, dense, both), 32 * 30 * 1.2e-7);
  }
}

TEST_P(XorAttention, Gradients) {
  for (const bool both : {true, false}) {
    Context ctx({}, DType::f64);
    XorData x(ctx, rows(), link_rows(), shape.width());
    Tensor rh = random_tensor(ctx, rows(), shape.width(), 5),
           rl = random_tensor(ctx, link_rows(), shape.width(), 6);
    run_xor_backward(ctx, x, shape, history, tile(), both, rh.view(), rl.view());
    GradientCheck check(60);
    check.add("history", x.h, x.dh);
    check.add("links", x.l, x.dl);
    check.check([&] {
      run_xor(ctx, x, shape, history, tile(), both);
      return dot(x.l_out.view(), rl.view()) + (both ? dot(x.h_out.view(), rh.view()) : 0.0);
    });
  }
}

TEST_P(XorAttention, HugeScoresStayFinite) {
  Context ctx({}, DType::f32);
  XorData x(ctx, rows(), link_rows(), shape.width());
  fill_random(x.h, 1, 1e6);
  fill_random(x.l, 2, 1e6);
  Tensor rh = random_tensor(ctx, rows(), shape.width(), 5),
         rl = random_tensor(ctx, link_rows(), shape.width(), 6);
  run_xor(ctx, x, shape, history, tile(), true);
  run_xor_backward(ctx, x, shape, history, tile(), true, rh.view(), rl.view());
  for (const Tensor* t : {&x.h_out, &x.l_out, &x.dh, &x.dl})
    for (int64_t r = 0; r < t->rows(); ++r)
      for (int64_t c = 0; c < t->cols(); ++c) ASSERT_TRUE(std::isfinite(value_at(t->view(), r, c)));
}

INSTANTIATE_TEST_SUITE_P(Shapes, XorAttention, testing::Range(size_t{0}, shapes.size()));

// --- Link attention
// --------------------------------------------------------------------------------------------------

class LinkAttentionTest : public Attention {
 protected:
  LinkAttention attention() const { return {shape.heads, shape.links, history}; }
  LinkAttentionState state(Context& ctx) const {
    const int64_t r = history.segments() * shape.heads;
    return {ctx.alloc(r, shape.links), ctx.alloc(r, shape.links)};
  }
  void run(Context& ctx, const View& q, const View& k, const View& v, const LinkAttentionState& s,
           View out) const {
    link_attention_begin(ctx, attention(), s, out);
    for (int64_t first = 0; first < rows(); first += tile()) {
      const int64_t end = std::min(first + tile(), rows());
      link_attention_tile(ctx, attention(), first, q, k.slice_rows(first, end), v.slice_rows(first, end), s,
                          out);
    }
    link_attention_finish(ctx, attention(), s, out);
  }
  double naive(const ConstView& q, const ConstView& k, const ConstView& v, int64_t b, int64_t i,
               int64_t column) const {
    const int64_t w = shape.head_width, h = column / w;
    std::vector<double> scores;
    double top = -std::numeric_limits<double>::infinity(), sum = 0, out = 0;
    for (int64_t j = history.begin(b); j < history.end(b); ++j) {
      double score = 0;
      for (int64_t c = h * w; c < (h + 1) * w; ++c)
        score += value_at(q, b * shape.links + i, c) * value_at(k, j, c);
      scores.push_back(score / std::sqrt(static_cast<double>(w)));
      top = std::max(top, scores.back());
    }
    for (size_t j = 0; j < scores.size(); ++j) {
      const double p = std::exp(scores[j] - top);
      sum += p;
      out += p * value_at(v, history.begin(b) + static_cast<int64_t>(j), column);
    }
    return scores.empty() ? 0 : out / sum;
  }
};

TEST_P(LinkAttentionTest, EqualsNaiveSoftmaxAlsoForHugeLogits) {
  for (const double deviation : {1.0, 1e3}) {  // logits of order 1e6: exp of any would overflow
    Context ctx({}, DType::f64);
    const int64_t d = shape.width();
    Tensor q = random_tensor(ctx, link_rows(), d, 1, deviation),
           k = random_tensor(ctx, rows(), d, 2, deviation);
    Tensor v = random_tensor(ctx, rows(), d, 3), out = random_tensor(ctx, link_rows(), d, 4);
    run(ctx, q, k, v, state(ctx), out);
    for (int64_t r = 0; r < link_rows(); ++r)
      for (int64_t c = 0; c < d; ++c)
        ASSERT_NEAR(value_at(out.view(), r, c),
                    naive(q.view(), k.view(), v.view(), r / shape.links, r % shape.links, c),
                    1e-8 * deviation)
            << r << "," << c;
  }
}

TEST_P(LinkAttentionTest, Gradients) {
  Context ctx({}, DType::f64);
  const int64_t d = shape.width();
  Tensor q = random_tensor(ctx, link_rows(), d, 1), kv = random_tensor(ctx, rows(), 2 * d, 2);
  Tensor out = random_tensor(ctx, link_rows(), d, 4), r = random_tensor(ctx, link_rows(), d, 5);
  Tensor dq(Device{}, DType::f64, link_rows(), d), dkv(Device{}, DType::f64, rows(), 2 * d);
  const View k = kv.view().slice_cols(0, d), v = kv.view().slice_cols(d, 2 * d);
  const View dk = dkv.view().slice_cols(0, d), dv = dkv.view().slice_cols(d, 2 * d);
  const LinkAttentionState s = state(ctx);
  run(ctx, q, k, v, s, out);
  link_attention_backward_begin(ctx, attention(), out.view(), r.view(), s);
  for (int64_t first = 0; first < rows(); first += tile()) {
    const int64_t end = std::min(first + tile(), rows());
    link_attention_backward_tile(ctx, attention(), first, q.view(), k.slice_rows(first, end),
                                 v.slice_rows(first, end), r.view(), s, dq, dk.slice_rows(first, end),
                                 dv.slice_rows(first, end));
  }
  GradientCheck check(60);
  check.add("q", q, dq);
  check.add("k|v", kv, dkv);
  check.check([&] { return run(ctx, q, k, v, s, out), dot(out.view(), r.view()); });
}

INSTANTIATE_TEST_SUITE_P(Shapes, LinkAttentionTest, testing::Range(size_t{0}, shapes.size()));

}  // namespace
}  // namespace lime
