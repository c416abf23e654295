// Causal attention on CUDA, for rows of any type and shape: the sums of query_attention_cuda.h. Rows that
// tensor cores can take are handed to causal_attention_mma_cuda.cu.
#include <cmath>

#include "layers/attention/query_attention_cuda.h"
#include "layers/attention/query_attention_mma_cuda.h"
#include "layers/cuda_kernels_attention.h"

namespace lime::cuda {

namespace {

constexpr const char *forward_name = "causal_attention", *backward_name = "causal_attention_backward";

template <typename A>
SiluRule<A> rule_of(const CausalAttention& attention, const ConstView& k) {
  return {static_cast<A>(1 / std::sqrt(static_cast<double>(k.cols() / attention.heads))), 0};
}

}  // namespace

void causal_attention(Context& ctx, const CausalAttention& attention, const AttentionRows& history,
                      const AttentionRows& candidates, View history_out, View candidates_out) {
  if (causal_attention_mma(ctx, attention, history, candidates, history_out, candidates_out)) return;
  with_multiplied_type(ctx, history.k.dtype(), [&]<typename T>(T) {
    const auto m = [](const ConstView& v) { return matrix_if_any<const T>(v); };
    const auto rule = rule_of<Compute<T>>(attention, history.k);
    const auto read = [&](const Jagged& rows, const ConstView& q, bool own_rows, const OwnKeys<T>& own,
                          const View& out) {
      query_sums<T, false>(ctx, forward_name, rows, attention.history, attention.heads,
                           Queries<T>{m(q), {}, rows.device(), own_rows}, m(history.k), m(history.v), rule,
                           own, matrix<T>(out));
    };
    if (history.q.cols() > 0) read(attention.history, history.q, true, {}, history_out);
    read(attention.candidates, candidates.q, false, {m(candidates.k), m(candidates.v), {}, {}},
         candidates_out);
  });
}

void causal_attention_backward(Context& ctx, const CausalAttention& attention, const AttentionRows& history,
                               const AttentionRows& candidates, const ConstView& dhistory_out,
                               const ConstView& dcandidates_out, const AttentionRowsGrad& dhistory,
                               const AttentionRowsGrad& dcandidates) {
  if (causal_attention_backward_mma(ctx, attention, history, candidates, dhistory_out, dcandidates_out,
                                    dhistory, dcandidates))
    return;
  with_multiplied_type(ctx, history.k.dtype(), [&]<typename T>(T) {
    const auto m = [](const ConstView& v) { return matrix_if_any<const T>(v); };
    const auto rule = rule_of<Compute<T>>(attention, history.k);
    const Queries<T> own_rows{m(history.q), m(dhistory_out), attention.history.device(), true},
        targets{m(candidates.q), m(dcandidates_out), attention.candidates.device(), false};
    const auto read = [&](const Jagged& rows, const Queries<T>& queries, const OwnKeys<T>& own,
                          const View& dq) {
      query_sums<T, true>(ctx, backward_name, rows, attention.history, attention.heads, queries, m(history.k),
                          m(history.v), rule, own, matrix<T>(dq));
    };
    if (history.q.cols() > 0) read(attention.history, own_rows, {}, dhistory.q);
    read(attention.candidates, targets,
         {m(candidates.k), m(candidates.v), matrix<T>(dcandidates.k), matrix<T>(dcandidates.v)},
         dcandidates.q);
    key_sums<T>(ctx, backward_name, attention.history, attention.heads, own_rows, targets, m(history.k),
                m(history.v), rule, matrix<T>(dhistory.k), matrix<T>(dhistory.v));
  });
}

}  // namespace lime::cuda
