#include "layers/mix_links.h"

#include "layers/cuda_kernels.h"
#include "layers/dispatch.h"
#include "runtime/primitives.h"

namespace lime {
namespace {

struct Shape {
  int64_t heads, links, width;  // of a head
};

Shape checked(const Context& ctx, int64_t heads, const ConstView& p, const ConstView& values,
              const Jagged& impressions, const ConstView& y) {
  LIME_CHECK(heads > 0 && p.cols() % heads == 0 && y.cols() % heads == 0, heads, " heads, weights of ",
             p.cols(), ", width ", y.cols());
  const int64_t links = p.cols() / heads;
  check_shape(ctx, p, impressions.rows(), p.cols(), "weights of links");
  check_shape(ctx, values, impressions.segments() * links, y.cols(), "values of links");
  check_shape(ctx, y, impressions.rows(), y.cols(), "mixtures of links");
  return {heads, links, y.cols() / heads};
}

// On the CPU each request and head is a product of its own. Calls f(candidates begin, end, links begin, end,
// head) for those with candidates.
template <typename F>
void for_each_product(const Shape& s, const Jagged& impressions, F f) {
  for (int64_t b = 0; b < impressions.segments(); ++b) {
    if (impressions.length(b) == 0) continue;
    for (int64_t h = 0; h < s.heads; ++h)
      f(impressions.begin(b), impressions.end(b), b * s.links, (b + 1) * s.links, h);
  }
}

template <typename V>
V block(const V& x, int64_t begin, int64_t end, int64_t head, int64_t width) {
  return x.slice_rows(begin, end).slice_cols(head * width, (head + 1) * width);
}

}  // namespace

void mix_links(Context& ctx, int64_t heads, const ConstView& p, const ConstView& values,
               const Jagged& impressions, View y) {
  const Shape s = checked(ctx, heads, p, values, impressions, y);
  dispatch(
      ctx, "mix_links",
      [&](auto) {
        for_each_product(s, impressions, [&](int64_t c0, int64_t c1, int64_t l0, int64_t l1, int64_t h) {
          gemm(ctx, Transpose::no, Transpose::no, 1, block(p, c0, c1, h, s.links),
               block(values, l0, l1, h, s.width), 0, block(y, c0, c1, h, s.width));
        });
      },
      [&] { cuda::mix_links(ctx, heads, p, values, impressions, y); });
}

void mix_links_backward(Context& ctx, int64_t heads, const ConstView& p, const ConstView& values,
                        const Jagged& impressions, const ConstView& dy, View dp, View dvalues) {
  const Shape s = checked(ctx, heads, p, values, impressions, dy);
  checked(ctx, heads, dp, dvalues, impressions, dy);
  dispatch(
      ctx, "mix_links_backward",
      [&](auto) {
        fill(ctx, dvalues, 0);
        for_each_product(s, impressions, [&](int64_t c0, int64_t c1, int64_t l0, int64_t l1, int64_t h) {
          const ConstView g = block(dy, c0, c1, h, s.width);
          gemm(ctx, Transpose::no, Transpose::yes, 1, g, block(values, l0, l1, h, s.width), 0,
               block(dp, c0, c1, h, s.links));
          gemm(ctx, Transpose::yes, Transpose::no, 1, block(p, c0, c1, h, s.links), g, 0,
               block(dvalues, l0, l1, h, s.width));
        });
      },
      [&] { cuda::mix_links_backward(ctx, heads, p, values, impressions, dy, dp, dvalues); });
}

}  // namespace lime
