// Link attention on the CPU: online softmax over chunks of history rows that stay in the first-level cache.
//
// Scores are laid out [history row, link], links in vector lanes, so that the running maximum and sum of all
// links advance together. Q^T of a request's head is packed once. Backward, from log-sum-exp L and D = sum(dO
// . O):
//   P = exp(K Q^T - L),  dV = P dO,  dS = P . (V dO^T - D),  dK = dS Q,  dQ += dS^T K
#include <algorithm>
#include <cmath>
#include <limits>

#include "layers/cpu_kernels.h"
#include "layers/segments.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "layers/attention/link_attention_cpu.cc"
#include <hwy/foreach_target.h>

#include "layers/attention/head-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lime::cpu::HWY_NAMESPACE {
namespace {

template <typename T>
void forward(Context& ctx, const LinkAttention& a, int64_t first, const ConstView& q, const ConstView& k,
             const ConstView& v, const LinkAttentionState& state, const View& out) {
  const hn::ScalableTag<T> d;
  const int64_t l = a.links, w = q.cols() / a.heads;
  const T slope = static_cast<T>(1 / std::sqrt(static_cast<double>(w)));
  const Arena::Scope scope(ctx.arena());
  const Scratch<T> scratch{ctx};
  const auto qt = scratch.rows(w, l), o = scratch.rows(l, w);
  const auto s = scratch.rows(chunk_rows, l), x = scratch.rows(chunk_rows, w), running = scratch.rows(3, l);

  for_each_segment(a.history, first, k.rows(), [&](const Segment& segment) HWY_ATTR {
    for (int64_t h = 0; h < a.heads; ++h) {
      const int64_t column = h * w, first_link = segment.request * l,
                    state_row = segment.request * a.heads + h;
      scaled_transpose(l, w, slope, head_of<T>(q, first_link, column), qt);
      const auto out_l = head_of<T>(out, first_link, column);
      copy_rows(l, w, in(out_l), o);
      std::copy_n(state.maximum.row<T>(state_row), l, running.row(0));
      std::copy_n(state.sum.row<T>(state_row), l, running.row(1));
      for (int64_t row = segment.begin; row < segment.end; row += chunk_rows) {
        const int64_t n = std::min(chunk_rows, segment.end - row), at = row - first;
        small_gemm(d, n, l, w, plain(head_of<T>(k, at, column)), in(qt), false, s);
        advance(n, s, running.row(0), running.row(1), running.row(2));
        for (int64_t i = 0; i < l; ++i)
          for (int64_t c = 0; c < w; ++c) o.row(i)[c] *= running.row(2)[i];
        copy_rows(n, w, head_of<T>(v, at, column), x);
        small_gemm(d, l, w, n, transposed(in(s)), in(x), true, o);
      }
      std::copy_n(running.row(0), l, state.maximum.row<T>(state_row));
      std::copy_n(running.row(1), l, state.sum.row<T>(state_row));
      copy_rows(l, w, in(o), out_l);
    }
  });
}

template <typename T>
void backward(Context& ctx, const LinkAttention& a, int64_t first, const ConstView& q, const ConstView& k,
              const ConstView& v, const ConstView& dout, const LinkAttentionState& state, const View& dq,
              const View& dk, const View& dv) {
  const hn::ScalableTag<T> d;
  const int64_t l = a.links, w = q.cols() / a.heads;
  const T slope = static_cast<T>(1 / std::sqrt(static_cast<double>(w)));
  const Arena::Scope scope(ctx.arena());
  const Scratch<T> scratch{ctx};
  const auto qt = scratch.rows(w, l), dot = scratch.rows(w, l), lq = scratch.rows(l, w),
             dol = scratch.rows(l, w);
  const auto dlq = scratch.rows(l, w), s = scratch.rows(chunk_rows, l), g = scratch.rows(chunk_rows, l);
  const auto x = scratch.rows(chunk_rows, w), saved = scratch.rows(2, l);

  for_each_segment(a.history, first, k.rows(), [&](const Segment& segment) HWY_ATTR {
    for (int64_t h = 0; h < a.heads; ++h) {
      const int64_t column = h * w, first_link = segment.request * l,
                    state_row = segment.request * a.heads + h;
      scaled_transpose(l, w, slope, head_of<T>(q, first_link, column), qt);
      scaled_transpose(l, w, T{1}, head_of<T>(dout, first_link, column), dot);
      copy_rows(l, w, head_of<T>(q, first_link, column), lq);
      copy_rows(l, w, head_of<T>(dout, first_link, column), dol);
      const auto dq_l = head_of<T>(dq, first_link, column);
      copy_rows(l, w, in(dq_l), dlq);
      std::copy_n(state.maximum.row<T>(state_row), l, saved.row(0));
      std::copy_n(state.sum.row<T>(state_row), l, saved.row(1));
      for (int64_t row = segment.begin; row < segment.end; row += chunk_rows) {
        const int64_t n = std::min(chunk_rows, segment.end - row), at = row - first;
        copy_rows(n, w, head_of<T>(k, at, column), x);
        small_gemm(d, n, l, w, plain(in(x)), in(qt), false, s);
        small_gemm(d, n, l, w, plain(head_of<T>(v, at, column)), in(dot), false, g);
        probabilities_backward(n, slope, saved.row(0), saved.row(1), s, g);
        small_gemm(d, n, w, l, plain(in(g)), in(lq), false, head_of<T>(dk, at, column));
        small_gemm(d, l, w, n, transposed(in(g)), in(x), true, dlq);
        small_gemm(d, n, w, l, plain(in(s)), in(dol), false, head_of<T>(dv, at, column));
      }
      copy_rows(l, w, in(dlq), dq_l);
    }
  });
}

}  // namespace

void link_forward_f32(Context& ctx, const LinkAttention& a, int64_t first, const ConstView& q,
                      const ConstView& k, const ConstView& v, const LinkAttentionState& state,
                      const View& out) {
  forward<float>(ctx, a, first, q, k, v, state, out);
}
void link_forward_f64(Context& ctx, const LinkAttention& a, int64_t first, const ConstView& q,
                      const ConstView& k, const ConstView& v, const LinkAttentionState& state,
                      const View& out) {
  forward<double>(ctx, a, first, q, k, v, state, out);
}
void link_backward_f32(Context& ctx, const LinkAttention& a, int64_t first, const ConstView& q,
                       const ConstView& k, const ConstView& v, const ConstView& dout,
                       const LinkAttentionState& state, const View& dq, const View& dk, const View& dv) {
  backward<float>(ctx, a, first, q, k, v, dout, state, dq, dk, dv);
}
void link_backward_f64(Context& ctx, const LinkAttention& a, int64_t first, const ConstView& q,
                       const ConstView& k, const ConstView& v, const ConstView& dout,
                       const LinkAttentionState& state, const View& dq, const View& dk, const View& dv) {
  backward<double>(ctx, a, first, q, k, v, dout, state, dq, dk, dv);
}

}  // namespace lime::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lime::cpu {
namespace {

template <typename T>
void begin(const LinkAttentionState& state, View out) {
  for (int64_t r = 0; r < out.rows(); ++r) std::fill_n(out.row<T>(r), out.cols(), T{0});
  for (int64_t r = 0; r < state.sum.rows(); ++r) {
    std::fill_n(state.sum.row<T>(r), state.sum.cols(), T{0});
    std::fill_n(state.maximum.row<T>(r), state.sum.cols(), std::numeric_limits<T>::lowest());
  }
}

// Calls f(state row, link, out row, first column) for each link of each head of each request.
template <typename F>
void for_each_link(const LinkAttention& a, int64_t width, F&& f) {
  for (int64_t b = 0; b < a.history.segments(); ++b)
    for (int64_t h = 0; h < a.heads; ++h)
      for (int64_t i = 0; i < a.links; ++i) f(b * a.heads + h, i, b * a.links + i, h * width);
}

template <typename T>
void rescale(const LinkAttention& a, const ConstView& maximum, const LinkAttentionState& state, View out) {
  const int64_t w = out.cols() / a.heads;
  for_each_link(a, w, [&](int64_t row, int64_t link, int64_t out_row, int64_t column) {
    T& running = state.maximum.row<T>(row)[link];
    const T factor = std::exp(running - maximum.row<T>(row)[link]);
    running = maximum.row<T>(row)[link];
    state.sum.row<T>(row)[link] *= factor;
    T* o = out.row<T>(out_row) + column;
    for (int64_t c = 0; c < w; ++c) o[c] *= factor;
  });
}

template <typename T>
void finish(const LinkAttention& a, const LinkAttentionState& state, View out) {
  const int64_t w = out.cols() / a.heads;
  for_each_link(a, w, [&](int64_t row, int64_t link, int64_t out_row, int64_t column) {
    const T sum = state.sum.row<T>(row)[link];
    if (sum == T{0}) return;  // an empty history
    T* o = out.row<T>(out_row) + column;
    for (int64_t c = 0; c < w; ++c) o[c] /= sum;
    state.maximum.row<T>(row)[link] += std::log(sum);
  });
}

template <typename T>
void backward_begin(const LinkAttention& a, const ConstView& out, const ConstView& dout,
                    const LinkAttentionState& state) {
  const int64_t w = out.cols() / a.heads;
  for_each_link(a, w, [&](int64_t row, int64_t link, int64_t out_row, int64_t column) {
    const T *o = out.row<T>(out_row) + column, *g = dout.row<T>(out_row) + column;
    T sum{0};
    for (int64_t c = 0; c < w; ++c) sum += o[c] * g[c];
    state.sum.row<T>(row)[link] = sum;
  });
}

}  // namespace

HWY_EXPORT(link_forward_f32);
HWY_EXPORT(link_forward_f64);
HWY_EXPORT(link_backward_f32);
HWY_EXPORT(link_backward_f64);

void link_attention_begin(const LinkAttentionState& state, View out) {
  out.dtype() == DType::f32 ? begin<float>(state, out) : begin<double>(state, out);
}

void link_attention_rescale(const LinkAttention& a, const ConstView& maximum, const LinkAttentionState& state,
                            View out) {
  out.dtype() == DType::f32 ? rescale<float>(a, maximum, state, out)
                            : rescale<double>(a, maximum, state, out);
}

void link_attention_finish(const LinkAttention& a, const LinkAttentionState& state, View out) {
  out.dtype() == DType::f32 ? finish<float>(a, state, out) : finish<double>(a, state, out);
}

void link_attention_backward_begin(const LinkAttention& a, const ConstView& out, const ConstView& dout,
                                   const LinkAttentionState& state) {
  out.dtype() == DType::f32 ? backward_begin<float>(a, out, dout, state)
                            : backward_begin<double>(a, out, dout, state);
}

void link_attention_tile(Context& ctx, const LinkAttention& a, int64_t first, const ConstView& q,
                         const ConstView& k, const ConstView& v, const LinkAttentionState& state, View out) {
  if (ctx.dtype() == DType::f32)
    HWY_DYNAMIC_DISPATCH(link_forward_f32)(ctx, a, first, q, k, v, state, out);
  else
    HWY_DYNAMIC_DISPATCH(link_forward_f64)(ctx, a, first, q, k, v, state, out);
}

void link_attention_backward_tile(Context& ctx, const LinkAttention& a, int64_t first, const ConstView& q,
                                  const ConstView& k, const ConstView& v, const ConstView& dout,
                                  const LinkAttentionState& state, View dq, View dk, View dv) {
  if (ctx.dtype() == DType::f32)
    HWY_DYNAMIC_DISPATCH(link_backward_f32)(ctx, a, first, q, k, v, dout, state, dq, dk, dv);
  else
    HWY_DYNAMIC_DISPATCH(link_backward_f64)(ctx, a, first, q, k, v, dout, state, dq, dk, dv);
}

}  // namespace lime::cpu
#endif  // HWY_ONCE
