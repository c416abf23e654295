// Target attention on the CPU. Scores are laid out [key, candidate], candidates in vector lanes; a chunk of
// candidates stays in the first-level cache while the history's keys go by.
//   backward   P = exp(S - lse);  dS = P . (dO V^T - delta), delta = sum(O . dO);
//              dQ += dS K;  dK += dS^T Q;  dV += P^T dO
#include <algorithm>
#include <cmath>
#include <limits>

#include "layers/cpu_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "layers/attention/target_attention_cpu.cc"
#include <hwy/foreach_target.h>

#include "layers/attention/head-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lime::cpu::HWY_NAMESPACE {
namespace {

template <typename T>
struct Target {
  Target(Context& ctx, const TargetAttention& a, int64_t cols)
      : attention(a),
        width(cols / a.heads),
        slope(static_cast<T>(1 / std::sqrt(static_cast<double>(width)))),
        scratch{ctx} {}

  // Calls f(first candidate, candidates, first key, last key, head) for every chunk of candidates with a
  // history.
  template <typename F>
  void each_chunk(F&& f) const {
    for (int64_t b = 0; b < attention.history.segments(); ++b) {
      if (attention.history.length(b) == 0) continue;
      const int64_t end = attention.candidates.end(b);
      for (int64_t h = 0; h < attention.heads; ++h)
        for (int64_t c = attention.candidates.begin(b); c < end; c += chunk_rows)
          f(c, std::min(chunk_rows, end - c), attention.history.begin(b), attention.history.end(b), h);
    }
  }

  void forward(const ConstView& q, const ConstView& k, const ConstView& v, const View& out,
               const View& lse) const {
    const hn::ScalableTag<T> d;
    const int64_t w = width;
    zero<T>(out), zero<T>(lse);
    const auto qt = scratch.rows(w, chunk_rows), o = scratch.rows(chunk_rows, w),
               s = scratch.rows(chunk_rows, chunk_rows), x = scratch.rows(chunk_rows, w),
               running = scratch.rows(3, chunk_rows);
    each_chunk([&](int64_t c, int64_t l, int64_t begin, int64_t end, int64_t h) HWY_ATTR {
      const int64_t column = h * w;
      scaled_transpose(l, w, slope, head_of<T>(q, c, column), qt);
      std::fill_n(running.row(0), running.stride, std::numeric_limits<T>::lowest());
      std::fill_n(running.row(1), running.stride, T{0});
      std::fill_n(o.p, l * o.stride, T{0});
      for (int64_t row = begin; row < end; row += chunk_rows) {
        const int64_t n = std::min(chunk_rows, end - row);
        small_gemm(d, n, l, w, plain(head_of<T>(k, row, column)), in(qt), false, s);
        advance(n, s, running.row(0), running.row(1), running.row(2));
        for (int64_t i = 0; i < l; ++i)
          for (int64_t j = 0; j < w; ++j) o.row(i)[j] *= running.row(2)[i];
        copy_rows(n, w, head_of<T>(v, row, column), x);
        small_gemm(d, l, w, n, transposed(in(s)), in(x), true, o);
      }
      for (int64_t i = 0; i < l; ++i) {
        T* to = out.row<T>(c + i) + column;
        for (int64_t j = 0; j < w; ++j) to[j] = o.row(i)[j] / running.row(1)[i];
        lse.row<T>(c + i)[h] = running.row(0)[i] + std::log(running.row(1)[i]);
      }
    });
  }

  void backward(const ConstView& q, const ConstView& k, const ConstView& v, const ConstView& out,
                const ConstView& lse, const ConstView& dout, const View& dq, const View& dk,
                const View& dv) const {
    const hn::ScalableTag<T> d;
    const int64_t w = width;
    zero<T>(dq), zero<T>(dk), zero<T>(dv);
    const auto qt = scratch.rows(w, chunk_rows), dot = scratch.rows(w, chunk_rows);
    const auto lq = scratch.rows(chunk_rows, w), dol = scratch.rows(chunk_rows, w),
               dlq = scratch.rows(chunk_rows, w), x = scratch.rows(chunk_rows, w);
    const auto s = scratch.rows(chunk_rows, chunk_rows), g = scratch.rows(chunk_rows, chunk_rows),
               saved = scratch.rows(2, chunk_rows);
    each_chunk([&](int64_t c, int64_t l, int64_t begin, int64_t end, int64_t h) HWY_ATTR {
      const int64_t column = h * w;
      scaled_transpose(l, w, slope, head_of<T>(q, c, column), qt);
      scaled_transpose(l, w, T{1}, head_of<T>(dout, c, column), dot);
      copy_rows(l, w, head_of<T>(q, c, column), lq);
      copy_rows(l, w, head_of<T>(dout, c, column), dol);
      std::fill_n(dlq.p, l * dlq.stride, T{0});
      for (int64_t i = 0; i < l; ++i) {
        const T* o = out.row<T>(c + i) + column;
        T delta{0};
        for (int64_t j = 0; j < w; ++j) delta += o[j] * dol.row(i)[j];
        saved.row(0)[i] = lse.row<T>(c + i)[h];
        saved.row(1)[i] = delta;
      }
      for (int64_t row = begin; row < end; row += chunk_rows) {
        const int64_t n = std::min(chunk_rows, end - row);
        copy_rows(n, w, head_of<T>(k, row, column), x);
        small_gemm(d, n, l, w, plain(in(x)), in(qt), false, s);
        small_gemm(d, n, l, w, plain(head_of<T>(v, row, column)), in(dot), false, g);
        probabilities_backward(n, slope, saved.row(0), saved.row(1), s, g);
        small_gemm(d, n, w, l, plain(in(g)), in(lq), true, head_of<T>(dk, row, column));
        small_gemm(d, n, w, l, plain(in(s)), in(dol), true, head_of<T>(dv, row, column));
        small_gemm(d, l, w, n, transposed(in(g)), in(x), true, dlq);
      }
      copy_rows(l, w, in(dlq), head_of<T>(dq, c, column));
    });
  }

  const TargetAttention& attention;
  int64_t width;
  T slope;
  Scratch<T> scratch;
};

}  // namespace

// One function an operation: Highway chooses among targets at run time.
void target_forward(Context& ctx, const TargetAttention& a, const ConstView& q, const ConstView& k,
                    const ConstView& v, const View& out, const View& lse) {
  const Arena::Scope scope(ctx.arena());
  ctx.dtype() == DType::f32 ? Target<float>(ctx, a, q.cols()).forward(q, k, v, out, lse)
                            : Target<double>(ctx, a, q.cols()).forward(q, k, v, out, lse);
}
void target_backward(Context& ctx, const TargetAttention& a, const ConstView& q, const ConstView& k,
                     const ConstView& v, const ConstView& out, const ConstView& lse, const ConstView& dout,
                     const View& dq, const View& dk, const View& dv) {
  const Arena::Scope scope(ctx.arena());
  ctx.dtype() == DType::f32 ? Target<float>(ctx, a, q.cols()).backward(q, k, v, out, lse, dout, dq, dk, dv)
                            : Target<double>(ctx, a, q.cols()).backward(q, k, v, out, lse, dout, dq, dk, dv);
}

}  // namespace lime::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lime::cpu {

HWY_EXPORT(target_forward);
HWY_EXPORT(target_backward);

void target_attention(Context& ctx, const TargetAttention& a, const ConstView& q, const ConstView& k,
                      const ConstView& v, View out, View lse) {
  HWY_DYNAMIC_DISPATCH(target_forward)(ctx, a, q, k, v, out, lse);
}

void target_attention_backward(Context& ctx, const TargetAttention& a, const ConstView& q, const ConstView& k,
                               const ConstView& v, const ConstView& out, const ConstView& lse,
                               const ConstView& dout, View dq, View dk, View dv) {
  HWY_DYNAMIC_DISPATCH(target_backward)(ctx, a, q, k, v, out, lse, dout, dq, dk, dv);
}

}  // namespace lime::cpu
#endif  // HWY_ONCE
