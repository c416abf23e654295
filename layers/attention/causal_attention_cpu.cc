// Causal attention on the CPU: for one head of one request, a block of keys is packed once and all queries
// that may see it go by in chunks; key blocks and query chunks are both chunk_rows long, so that only the
// chunk at the diagonal needs a mask.
//   forward    S = Q K^T;  A = a(S);   out += A V
//   backward   dA = dO V^T;  dS = dA . a'(S);  dQ += dS K;  dK += dS^T Q;  dV += A^T dO
// Candidates are queries that see every block; their own key is a dot product a row.
#include <algorithm>
#include <cmath>

#include "layers/cpu_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "layers/attention/causal_attention_cpu.cc"
#include <hwy/foreach_target.h>

#include "layers/attention/head-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lime::cpu::HWY_NAMESPACE {
namespace {

// Rows [begin, end) of a jagged batch that read a block of keys, starting at row `diagonal` of the block if
// they are the block's own rows.
struct Queries {
  ConstView q;
  int64_t begin, end;
  bool own_block;  // the first chunk is the block itself
};

// Zero above the diagonal: row i sees keys 0..i.
template <typename T>
HWY_INLINE void mask(int64_t n, int64_t keys, Rows<T> s) {
  for (int64_t i = 0; i < n; ++i) std::fill(s.row(i) + std::min(i + 1, keys), s.row(i) + keys, T{0});
}

template <typename T>
HWY_INLINE T dot(const T* a, const T* b, int64_t n) {
  const hn::ScalableTag<T> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  auto sum = hn::Zero(d);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) sum = hn::MulAdd(hn::LoadU(d, a + i), hn::LoadU(d, b + i), sum);
  T total = hn::GetLane(hn::SumOfLanes(d, sum));
  for (; i < n; ++i) total += a[i] * b[i];
  return total;
}

// y += alpha x
template <typename T>
HWY_INLINE void add_scaled(T alpha, const T* x, int64_t n, T* y) {
  for (int64_t i = 0; i < n; ++i) y[i] += alpha * x[i];
}

template <typename T>
T sigmoid_of(T x) {
  return T{1} / (T{1} + std::exp(-x));
}

template <typename T>
struct Causal {
  Causal(Context& context, const CausalAttention& a, int64_t cols)
      : ctx(context),
        attention(a),
        width(cols / a.heads),
        slope(static_cast<T>(1 / std::sqrt(static_cast<double>(width)))),
        scratch{context} {}

  // Calls f(request, head's first column, factor) for every request and head.
  template <typename F>
  void each_head(F&& f) const {
    for (int64_t b = 0; b < attention.history.segments(); ++b) {
      const T factor = static_cast<T>(1.0 / static_cast<double>(attention.history.length(b) + 1));
      for (int64_t h = 0; h < attention.heads; ++h) f(b, h * width, factor);
    }
  }
  // Calls f(first row, rows) for the blocks of keys of a request.
  template <typename F>
  void each_block(int64_t b, F&& f) const {
    const int64_t end = attention.history.end(b);
    for (int64_t row = attention.history.begin(b); row < end; row += chunk_rows)
      f(row, std::min(chunk_rows, end - row));
  }

  void forward(const AttentionRows& history, const AttentionRows& targets, const View& history_out,
               const View& targets_out) const {
    const hn::ScalableTag<T> d;
    const int64_t w = width;
    const bool both = history.q.cols() > 0;
    zero<T>(history_out), zero<T>(targets_out);
    const auto kt = scratch.rows(w, chunk_rows), v = scratch.rows(chunk_rows, w),
               s = scratch.rows(chunk_rows, chunk_rows);
    each_head([&](int64_t b, int64_t column, T factor) HWY_ATTR {
      each_block(b, [&](int64_t key, int64_t keys) HWY_ATTR {
        scaled_transpose(keys, w, slope, head_of<T>(history.k, key, column), kt);
        copy_rows(keys, w, head_of<T>(history.v, key, column), v);
        const auto read = [&](const Queries& queries, const View& out) HWY_ATTR {
          for (int64_t row = queries.begin; row < queries.end; row += chunk_rows) {
            const int64_t n = std::min(chunk_rows, queries.end - row);
            small_gemm(d, n, keys, w, plain(head_of<T>(queries.q, row, column)), in(kt), false, s);
            activate(n * s.stride, factor, s.p);
            if (queries.own_block && row == queries.begin) mask(n, keys, s);
            small_gemm(d, n, w, keys, plain(in(s)), in(v), true, head_of<T>(out, row, column));
          }
        };
        if (both) read({history.q, key, attention.history.end(b), true}, history_out);
        read({targets.q, attention.candidates.begin(b), attention.candidates.end(b), false}, targets_out);
      });
      for (int64_t c = attention.candidates.begin(b); c < attention.candidates.end(b); ++c) {
        const T x = slope * dot(targets.q.row<T>(c) + column, targets.k.row<T>(c) + column, w);
        add_scaled(factor * x * sigmoid_of(x), targets.v.row<T>(c) + column, w,
                   targets_out.row<T>(c) + column);
      }
    });
  }

  void backward(const AttentionRows& history, const AttentionRows& targets, const ConstView& dhistory_out,
                const ConstView& dtargets_out, const AttentionRowsGrad& dhistory,
                const AttentionRowsGrad& dtargets) const {
    const hn::ScalableTag<T> d;
    const int64_t w = width;
    const bool both = history.q.cols() > 0;
    zero<T>(dhistory.q), zero<T>(dtargets.q);
    const auto kt = scratch.rows(w, chunk_rows), vt = scratch.rows(w, chunk_rows);
    const auto k = scratch.rows(chunk_rows, w), dk = scratch.rows(chunk_rows, w),
               dv = scratch.rows(chunk_rows, w);
    const auto x = scratch.rows(chunk_rows, w), y = scratch.rows(chunk_rows, w);
    const auto s = scratch.rows(chunk_rows, chunk_rows), g = scratch.rows(chunk_rows, chunk_rows);
    each_head([&](int64_t b, int64_t column, T factor) HWY_ATTR {
      each_block(b, [&](int64_t key, int64_t keys) HWY_ATTR {
        scaled_transpose(keys, w, slope, head_of<T>(history.k, key, column), kt);
        scaled_transpose(keys, w, T{1}, head_of<T>(history.v, key, column), vt);
        copy_rows(keys, w, head_of<T>(history.k, key, column), k);
        std::fill_n(dk.p, keys * dk.stride, T{0});
        std::fill_n(dv.p, keys * dv.stride, T{0});
        const auto read = [&](const Queries& queries, const ConstView& dout, const View& dq) HWY_ATTR {
          for (int64_t row = queries.begin; row < queries.end; row += chunk_rows) {
            const int64_t n = std::min(chunk_rows, queries.end - row);
            copy_rows(n, w, head_of<T>(queries.q, row, column), x);
            copy_rows(n, w, head_of<T>(dout, row, column), y);
            small_gemm(d, n, keys, w, plain(in(x)), in(kt), false, s);
            small_gemm(d, n, keys, w, plain(in(y)), in(vt), false, g);
            activate_backward(n * s.stride, factor, slope, s.p, g.p);
            if (queries.own_block && row == queries.begin) mask(n, keys, s), mask(n, keys, g);
            small_gemm(d, n, w, keys, plain(in(g)), in(k), true, head_of<T>(dq, row, column));
            small_gemm(d, keys, w, n, transposed(in(g)), in(x), true, dk);
            small_gemm(d, keys, w, n, transposed(in(s)), in(y), true, dv);
          }
        };
        if (both) read({history.q, key, attention.history.end(b), true}, dhistory_out, dhistory.q);
        read({targets.q, attention.candidates.begin(b), attention.candidates.end(b), false}, dtargets_out,
             dtargets.q);
        copy_rows(keys, w, in(dk), head_of<T>(dhistory.k, key, column));
        copy_rows(keys, w, in(dv), head_of<T>(dhistory.v, key, column));
      });
      for (int64_t c = attention.candidates.begin(b); c < attention.candidates.end(b); ++c) {
        const T *qc = targets.q.row<T>(c) + column, *kc = targets.k.row<T>(c) + column,
                *vc = targets.v.row<T>(c) + column, *gc = dtargets_out.row<T>(c) + column;
        const T score = slope * dot(qc, kc, w), p = sigmoid_of(score);
        const T ds = factor * slope * dot(gc, vc, w) * p * (T{1} + score * (T{1} - p));
        T *dkc = dtargets.k.row<T>(c) + column, *dvc = dtargets.v.row<T>(c) + column;
        add_scaled(ds, kc, w, dtargets.q.row<T>(c) + column);
        for (int64_t i = 0; i < w; ++i) dkc[i] = ds * qc[i], dvc[i] = factor * score * p * gc[i];
      }
    });
  }

  Context& ctx;
  const CausalAttention& attention;
  int64_t width;
  T slope;
  Scratch<T> scratch;
};

}  // namespace

// One function an operation and type: Highway chooses among targets at run time.
void causal_forward(Context& ctx, const CausalAttention& a, const AttentionRows& h, const AttentionRows& c,
                    const View& ho, const View& co) {
  const Arena::Scope scope(ctx.arena());
  ctx.dtype() == DType::f32 ? Causal<float>(ctx, a, h.k.cols()).forward(h, c, ho, co)
                            : Causal<double>(ctx, a, h.k.cols()).forward(h, c, ho, co);
}
void causal_backward(Context& ctx, const CausalAttention& a, const AttentionRows& h, const AttentionRows& c,
                     const ConstView& dho, const ConstView& dco, const AttentionRowsGrad& dh,
                     const AttentionRowsGrad& dc) {
  const Arena::Scope scope(ctx.arena());
  ctx.dtype() == DType::f32 ? Causal<float>(ctx, a, h.k.cols()).backward(h, c, dho, dco, dh, dc)
                            : Causal<double>(ctx, a, h.k.cols()).backward(h, c, dho, dco, dh, dc);
}

}  // namespace lime::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lime::cpu {

HWY_EXPORT(causal_forward);
HWY_EXPORT(causal_backward);

void causal_attention(Context& ctx, const CausalAttention& attention, const AttentionRows& history,
                      const AttentionRows& candidates, View history_out, View candidates_out) {
  HWY_DYNAMIC_DISPATCH(causal_forward)(ctx, attention, history, candidates, history_out, candidates_out);
}

void causal_attention_backward(Context& ctx, const CausalAttention& attention, const AttentionRows& history,
                               const AttentionRows& candidates, const ConstView& dhistory_out,
                               const ConstView& dcandidates_out, const AttentionRowsGrad& dhistory,
                               const AttentionRowsGrad& dcandidates) {
  HWY_DYNAMIC_DISPATCH(causal_backward)
  (ctx, attention, history, candidates, dhistory_out, dcandidates_out, dhistory, dcandidates);
}

}  // namespace lime::cpu
#endif  // HWY_ONCE
