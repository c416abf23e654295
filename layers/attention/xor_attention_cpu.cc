// XOR attention on the CPU: one pass over the history rows in chunks that stay in the first-level cache.
//
// Scores are laid out [history row, link], links in vector lanes, for both directions. For one head of one
// chunk (n rows, l links, w = d_h columns), with K_l^T, Q_l^T packed once for each request and head:
//   up    (history reads links)   A = SiLU(Q_h K_l^T) / l;    out_h  = A V_l
//   down  (links read history)    A = SiLU(K_h Q_l^T) / N;    out_l += A^T V_h
// and backward, up: dA = dO_h V_l^T, dS = dA . SiLU', dQ_h = dS K_l, dK_l += dS^T Q_h, dV_l += A^T dO_h;
//           down: dA = V_h dO_l^T, dS = dA . SiLU', dK_h = dS Q_l, dQ_l += dS^T K_h, dV_h = A dO_l.
// Everything a chunk touches is copied to contiguous rows: rows of [U|Q|K|V] are a power of two apart and
// would fight for the same cache sets.
#include <cmath>

#include "layers/cpu_kernels.h"
#include "layers/segments.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "layers/attention/xor_attention_cpu.cc"
#include <hwy/foreach_target.h>

#include "layers/attention/head-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lime::cpu::HWY_NAMESPACE {
namespace {

// Sizes of one call.
struct Shape {
  int64_t heads, links, width;  // width of a head
  double slope;                 // 1 / sqrt(width)
  Shape(const XorAttentionTile& tile, int64_t d)
      : heads(tile.heads),
        links(tile.links),
        width(d / tile.heads),
        slope(1 / std::sqrt(static_cast<double>(width))) {}
};

template <typename T>
void forward(Context& ctx, const XorAttentionTile& tile, bool both, const AttentionRows& history,
             const AttentionRows& links, const View& history_out, const View& links_out) {
  const hn::ScalableTag<T> d;
  const Shape shape(tile, history.k.cols());
  const int64_t l = shape.links, w = shape.width;
  const T slope = static_cast<T>(shape.slope), up = static_cast<T>(1.0 / static_cast<double>(l));
  const Arena::Scope scope(ctx.arena());
  const Scratch<T> scratch{ctx};
  const auto kt = scratch.rows(w, l), qt = scratch.rows(w, l), lv = scratch.rows(l, w),
             sum = scratch.rows(l, w);
  const auto s = scratch.rows(chunk_rows, l), v = scratch.rows(chunk_rows, w);

  for_each_segment(tile.history, tile.first, history.k.rows(), [&](const Segment& segment) HWY_ATTR {
    const int64_t first_link = segment.request * l;
    const T down = static_cast<T>(1.0 / static_cast<double>(tile.whole_length(segment.request)));
    for (int64_t h = 0; h < shape.heads; ++h) {
      const int64_t column = h * w;
      scaled_transpose(l, w, slope, head_of<T>(links.q, first_link, column), qt);
      if (both) {
        scaled_transpose(l, w, slope, head_of<T>(links.k, first_link, column), kt);
        copy_rows(l, w, head_of<T>(links.v, first_link, column), lv);
      }
      const auto out_l = head_of<T>(links_out, first_link, column);
      copy_rows(l, w, in(out_l), sum);
      for (int64_t row = segment.begin; row < segment.end; row += chunk_rows) {
        const int64_t n = std::min(chunk_rows, segment.end - row), at = row - tile.first;
        if (both) {
          small_gemm(d, n, l, w, plain(head_of<T>(history.q, at, column)), in(kt), false, s);
          activate(n * s.stride, up, s.p);
          small_gemm(d, n, w, l, plain(in(s)), in(lv), false, head_of<T>(history_out, at, column));
        }
        small_gemm(d, n, l, w, plain(head_of<T>(history.k, at, column)), in(qt), false, s);
        activate(n * s.stride, down, s.p);
        copy_rows(n, w, head_of<T>(history.v, at, column), v);
        small_gemm(d, l, w, n, transposed(in(s)), in(v), true, sum);
      }
      copy_rows(l, w, in(sum), out_l);
    }
  });
}

template <typename T>
void backward(Context& ctx, const XorAttentionTile& tile, bool both, const AttentionRows& history,
              const AttentionRows& links, const ConstView& dhistory_out, const ConstView& dlinks_out,
              const AttentionRowsGrad& dhistory, const AttentionRowsGrad& dlinks) {
  const hn::ScalableTag<T> d;
  const Shape shape(tile, history.k.cols());
  const int64_t l = shape.links, w = shape.width;
  const T slope = static_cast<T>(shape.slope), up = static_cast<T>(1.0 / static_cast<double>(l));
  const Arena::Scope scope(ctx.arena());
  const Scratch<T> scratch{ctx};
  const auto kt = scratch.rows(w, l), qt = scratch.rows(w, l), vt = scratch.rows(w, l),
             dot = scratch.rows(w, l);
  const auto lk = scratch.rows(l, w), lq = scratch.rows(l, w), dol = scratch.rows(l, w);
  const auto dlq = scratch.rows(l, w), dlk = scratch.rows(l, w), dlv = scratch.rows(l, w);
  const auto s = scratch.rows(chunk_rows, l), g = scratch.rows(chunk_rows, l);
  const auto x = scratch.rows(chunk_rows, w), y = scratch.rows(chunk_rows, w);

  for_each_segment(tile.history, tile.first, history.k.rows(), [&](const Segment& segment) HWY_ATTR {
    const int64_t first_link = segment.request * l;
    const T down = static_cast<T>(1.0 / static_cast<double>(tile.whole_length(segment.request)));
    for (int64_t h = 0; h < shape.heads; ++h) {
      const int64_t column = h * w;
      scaled_transpose(l, w, slope, head_of<T>(links.q, first_link, column), qt);
      scaled_transpose(l, w, T{1}, head_of<T>(dlinks_out, first_link, column), dot);
      copy_rows(l, w, head_of<T>(links.q, first_link, column), lq);
      copy_rows(l, w, head_of<T>(dlinks_out, first_link, column), dol);
      copy_rows(l, w, in(head_of<T>(dlinks.q, first_link, column)), dlq);
      if (both) {
        scaled_transpose(l, w, slope, head_of<T>(links.k, first_link, column), kt);
        scaled_transpose(l, w, T{1}, head_of<T>(links.v, first_link, column), vt);
        copy_rows(l, w, head_of<T>(links.k, first_link, column), lk);
        copy_rows(l, w, in(head_of<T>(dlinks.k, first_link, column)), dlk);
        copy_rows(l, w, in(head_of<T>(dlinks.v, first_link, column)), dlv);
      }
      for (int64_t row = segment.begin; row < segment.end; row += chunk_rows) {
        const int64_t n = std::min(chunk_rows, segment.end - row), at = row - tile.first;
        if (both) {
          copy_rows(n, w, head_of<T>(history.q, at, column), x);
          copy_rows(n, w, head_of<T>(dhistory_out, at, column), y);
          small_gemm(d, n, l, w, plain(in(x)), in(kt), false, s);
          small_gemm(d, n, l, w, plain(in(y)), in(vt), false, g);
          activate_backward(n * s.stride, up, slope, s.p, g.p);
          small_gemm(d, n, w, l, plain(in(g)), in(lk), false, head_of<T>(dhistory.q, at, column));
          small_gemm(d, l, w, n, transposed(in(g)), in(x), true, dlk);
          small_gemm(d, l, w, n, transposed(in(s)), in(y), true, dlv);
        }
        copy_rows(n, w, head_of<T>(history.k, at, column), x);
        small_gemm(d, n, l, w, plain(in(x)), in(qt), false, s);
        small_gemm(d, n, l, w, plain(head_of<T>(history.v, at, column)), in(dot), false, g);
        activate_backward(n * s.stride, down, slope, s.p, g.p);
        small_gemm(d, n, w, l, plain(in(g)), in(lq), false, head_of<T>(dhistory.k, at, column));
        small_gemm(d, l, w, n, transposed(in(g)), in(x), true, dlq);
        small_gemm(d, n, w, l, plain(in(s)), in(dol), false, head_of<T>(dhistory.v, at, column));
      }
      copy_rows(l, w, in(dlq), head_of<T>(dlinks.q, first_link, column));
      if (both) {
        copy_rows(l, w, in(dlk), head_of<T>(dlinks.k, first_link, column));
        copy_rows(l, w, in(dlv), head_of<T>(dlinks.v, first_link, column));
      }
    }
  });
}

}  // namespace

void xor_forward_f32(Context& c, const XorAttentionTile& t, bool both, const AttentionRows& h,
                     const AttentionRows& l, const View& ho, const View& lo) {
  forward<float>(c, t, both, h, l, ho, lo);
}
void xor_forward_f64(Context& c, const XorAttentionTile& t, bool both, const AttentionRows& h,
                     const AttentionRows& l, const View& ho, const View& lo) {
  forward<double>(c, t, both, h, l, ho, lo);
}
void xor_backward_f32(Context& c, const XorAttentionTile& t, bool both, const AttentionRows& h,
                      const AttentionRows& l, const ConstView& dho, const ConstView& dlo,
                      const AttentionRowsGrad& dh, const AttentionRowsGrad& dl) {
  backward<float>(c, t, both, h, l, dho, dlo, dh, dl);
}
void xor_backward_f64(Context& c, const XorAttentionTile& t, bool both, const AttentionRows& h,
                      const AttentionRows& l, const ConstView& dho, const ConstView& dlo,
                      const AttentionRowsGrad& dh, const AttentionRowsGrad& dl) {
  backward<double>(c, t, both, h, l, dho, dlo, dh, dl);
}

}  // namespace lime::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lime::cpu {

HWY_EXPORT(xor_forward_f32);
HWY_EXPORT(xor_forward_f64);
HWY_EXPORT(xor_backward_f32);
HWY_EXPORT(xor_backward_f64);

void xor_attention(Context& ctx, const XorAttentionTile& tile, bool both, const AttentionRows& history,
                   const AttentionRows& links, View history_out, View links_out) {
  if (ctx.dtype() == DType::f32)
    HWY_DYNAMIC_DISPATCH(xor_forward_f32)(ctx, tile, both, history, links, history_out, links_out);
  else
    HWY_DYNAMIC_DISPATCH(xor_forward_f64)(ctx, tile, both, history, links, history_out, links_out);
}

void xor_attention_backward(Context& ctx, const XorAttentionTile& tile, bool both,
                            const AttentionRows& history, const AttentionRows& links,
                            const ConstView& dhistory_out, const ConstView& dlinks_out,
                            const AttentionRowsGrad& dhistory, const AttentionRowsGrad& dlinks) {
  if (ctx.dtype() == DType::f32) HWY_DYNAMIC_DISPATCH(xor_backward_f32)
  (ctx, tile, both, history, links, dhistory_out, dlinks_out, dhistory, dlinks);
  else HWY_DYNAMIC_DISPATCH(xor_backward_f64)(ctx, tile, both, history, links, dhistory_out, dlinks_out,
                                              dhistory, dlinks);
}

}  // namespace lime::cpu
#endif  // HWY_ONCE
