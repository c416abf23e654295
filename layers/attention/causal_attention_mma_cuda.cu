// Causal attention with tensor cores; see query_attention_mma_kernel_cuda.h.
#include <cmath>

#include "layers/attention/query_attention_mma_cuda.h"
#include "layers/attention/query_attention_mma_kernel_cuda.h"

namespace lime::cuda {

namespace {

__device__ __forceinline__ void unpack(uint32_t pair, float (&x)[2]) {
  x[0] = __uint_as_float(pair << 16), x[1] = __uint_as_float(pair & 0xffff0000u);
}

// SiLU with the hardware's tanh, over the history's rows + 1.
struct SiluMma {
  static constexpr float nothing = 0;

  float half_slope;                 // 1 / (2 sqrt(w))
  Matrix<const bf16> own_k, own_v;  // of candidates
  Matrix<bf16> own_dk, own_dv;

  struct Weights {
    float half_slope;
    template <bool with_weight, bool with_gradient>
    __device__ __forceinline__ void weigh(const float (&s)[2][4], const float (&g)[2][4], uint32_t (&a)[4],
                                          uint32_t (&d)[4]) const {
      mma_silu<with_gradient, with_weight>(half_slope, s, g, a, d);
    }
  };
  __device__ Weights of_rows(int64_t, int, int64_t) const { return {half_slope}; }
  __device__ Weights of_columns(int64_t, int, int64_t) const { return {half_slope}; }
  __device__ float factor(int64_t keys) const { return 1.0f / static_cast<float>(keys + 1); }
  __device__ float slope() const { return 2 * half_slope; }

  // Adds to the sums of 16 candidates from `row` what each gets from its own key, and writes the gradients of
  // that.
  template <bool gradient, int width>
  __device__ void add_own_keys(const LeftRows<width, true>& q, const LeftRows<width, true>& dout, int64_t row,
                               int valid, int64_t column, float factor, RowSums<width>& sums) const {
    const int lane = static_cast<int>(threadIdx.x) % warp_size;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int r = lane / 4 + 8 * half;
      const bool there = r < valid;
      // Left operands and sums have the same columns: 8 n + 2 (lane % 4) and the next.
      const auto held = [&](const LeftRows<width, true>& x, int n) { return x.at[n / 2][n % 2 * 2 + half]; };
      const auto place = [&](auto* first, int n) { return first + column + n * 8 + lane % 4 * 2; };
      const auto pair = [&](const Matrix<const bf16>& m, int n) {
        return there ? *reinterpret_cast<const uint32_t*>(place(m.row(row + r), n)) : 0u;
      };
      const auto dot = [&](const LeftRows<width, true>& x, const Matrix<const bf16>& m) {
        float sum = 0;
#pragma unroll
        for (int n = 0; n < width / 8; ++n) {
          float a[2], b[2];
          unpack(held(x, n), a), unpack(pair(m, n), b);
          sum = fmaf(a[0], b[0], fmaf(a[1], b[1], sum));
        }
        sum += __shfl_xor_sync(all_lanes, sum, 1);
        return sum + __shfl_xor_sync(all_lanes, sum, 2);
      };
      const float x = 2 * half_slope * dot(q, own_k), weight = silu(x);
      float slope = 0;
      if constexpr (gradient) slope = silu_slope(x) * dot(dout, own_v);
#pragma unroll
      for (int n = 0; n < width / 8; ++n) {
        float y[2];
        unpack(pair(gradient ? own_k : own_v, n), y);
#pragma unroll
        for (int j = 0; j < 2; ++j)
          sums[n][2 * half + j] = fmaf(gradient ? slope : weight, y[j], sums[n][2 * half + j]);
        if constexpr (gradient) {
          const auto write = [&](const Matrix<bf16>& m, float by, uint32_t values) {
            unpack(values, y);
            if (there)
              *reinterpret_cast<uint32_t*>(place(m.row(row + r), n)) = pack_bf16(by * y[0], by * y[1]);
          };
          write(own_dk, 2 * half_slope * factor * slope, held(q, n));
          write(own_dv, factor * weight, held(dout, n));
        }
      }
    }
  }
};

// Groups of 16 rows a warp, as many as there are registers for.
constexpr int query_groups(int width, bool gradient) { return gradient && width == 128 ? 1 : 2; }
constexpr int key_groups(int width) { return width == 128 ? 1 : 2; }

// Whether the history's rows are queries too.
bool both(const AttentionRows& history) { return history.q.cols() > 0; }

SiluMma rule_of(int64_t width, const AttentionRows& candidates, const AttentionRowsGrad& gradients) {
  SiluMma rule{static_cast<float>(0.5 / std::sqrt(static_cast<double>(width))),
               matrix<const bf16>(candidates.k),
               matrix<const bf16>(candidates.v),
               {},
               {}};
  if (gradients.k.cols() > 0)
    rule.own_dk = matrix<bf16>(gradients.k), rule.own_dv = matrix<bf16>(gradients.v);
  return rule;
}

template <int width, bool gradient>
void read_keys(Context& ctx, const char* name, const CausalAttention& attention, const AttentionRows& history,
               const QueriesMma& of_history, const QueriesMma& of_candidates, const SiluMma& rule) {
  constexpr int groups = query_groups(width, gradient);
  QueryCall call{of_history,
                 of_candidates,
                 matrix<const bf16>(history.k),
                 matrix<const bf16>(history.v),
                 attention.history.device(),
                 attention.heads,
                 {}};
  call.history.rows = both(history) ? all_rows(attention.history, groups) : no_rows();
  call.candidates.rows = all_rows(attention.candidates, groups);
  launch_queries<width, false>(ctx, name, query_mma_kernel<width, groups, gradient, SiluMma>,
                               attention.history, call, rule);
}

}  // namespace

bool causal_attention_mma(Context& ctx, const CausalAttention& attention, const AttentionRows& history,
                          const AttentionRows& candidates, const View& history_out,
                          const View& candidates_out) {
  const int64_t width = history.k.cols() / attention.heads;
  if (!takes_query_mma(width, {&history.q, &history.k, &history.v, &candidates.q, &candidates.k,
                               &candidates.v, &history_out, &candidates_out}))
    return false;
  const auto m = [](const ConstView& v) { return matrix_if_any<const bf16>(v); };
  with_mma_width(width, [&]<int w>() {
    read_keys<w, false>(ctx, "causal_attention", attention, history,
                        {{}, m(history.q), {}, matrix_if_any<bf16>(history_out)},
                        {{}, m(candidates.q), {}, matrix<bf16>(candidates_out)}, rule_of(w, candidates, {}));
  });
  return true;
}

bool causal_attention_backward_mma(Context& ctx, const CausalAttention& attention,
                                   const AttentionRows& history, const AttentionRows& candidates,
                                   const ConstView& dhistory_out, const ConstView& dcandidates_out,
                                   const AttentionRowsGrad& dhistory, const AttentionRowsGrad& dcandidates) {
  const int64_t width = history.k.cols() / attention.heads;
  if (!takes_query_mma(width, {&history.q, &history.k, &history.v, &candidates.q, &candidates.k,
                               &candidates.v, &dhistory_out, &dcandidates_out, &dhistory.q, &dhistory.k,
                               &dhistory.v, &dcandidates.q, &dcandidates.k, &dcandidates.v}))
    return false;
  const char* name = "causal_attention_backward";
  const auto m = [](const ConstView& v) { return matrix_if_any<const bf16>(v); };
  with_mma_width(width, [&]<int w>() {
    const SiluMma rule = rule_of(w, candidates, dcandidates);
    read_keys<w, true>(ctx, name, attention, history,
                       {{}, m(history.q), m(dhistory_out), matrix_if_any<bf16>(dhistory.q)},
                       {{}, m(candidates.q), m(dcandidates_out), matrix<bf16>(dcandidates.q)}, rule);
    constexpr int groups = key_groups(w);
    const KeyCall call{all_rows(attention.history, groups),
                       m(history.k),
                       m(history.v),
                       m(history.q),
                       m(dhistory_out),
                       m(candidates.q),
                       m(dcandidates_out),
                       attention.candidates.device(),
                       matrix<bf16>(dhistory.k),
                       matrix<bf16>(dhistory.v),
                       attention.heads};
    launch_keys<w>(ctx, name, key_mma_kernel<w, groups, SiluMma>, call, rule);
  });
  return true;
}

}  // namespace lime::cuda
