#include "layers/attention/causal_attention.h"

#include "layers/cpu_kernels.h"
#include "layers/cuda_kernels_attention.h"
#include "layers/dispatch.h"
#include "runtime/trace.h"

namespace lime {
namespace {

void check(const Context& ctx, const CausalAttention& a, const AttentionRows& history,
           const AttentionRows& candidates, const ConstView& history_out, const ConstView& candidates_out) {
  const int64_t rows = a.history.rows(), targets = a.candidates.rows(), d = history.k.cols();
  LIME_CHECK(a.heads > 0 && d % a.heads == 0, "heads ", a.heads, ", width ", d);
  LIME_CHECK(a.history.segments() == a.candidates.segments(), "histories of ", a.history.segments(),
             " requests, candidates of ", a.candidates.segments());
  check_shape(ctx, history.k, rows, d, "history k");
  check_shape(ctx, history.v, rows, d, "history v");
  check_shape(ctx, candidates.q, targets, d, "candidates q");
  check_shape(ctx, candidates.k, targets, d, "candidates k");
  check_shape(ctx, candidates.v, targets, d, "candidates v");
  check_shape(ctx, candidates_out, targets, d, "candidates out");
  if (history.q.cols() == 0 && history_out.cols() == 0) return;
  check_shape(ctx, history.q, rows, d, "history q");
  check_shape(ctx, history_out, rows, d, "history out");
}

}  // namespace

void causal_attention(Context& ctx, const CausalAttention& attention, const AttentionRows& history,
                      const AttentionRows& candidates, View history_out, View candidates_out) {
  const TraceRange range(ctx, "causal_attention");
  check(ctx, attention, history, candidates, history_out, candidates_out);
  dispatch(
      ctx, "causal_attention",
      [&](auto) { cpu::causal_attention(ctx, attention, history, candidates, history_out, candidates_out); },
      [&] { cuda::causal_attention(ctx, attention, history, candidates, history_out, candidates_out); });
}

void causal_attention_backward(Context& ctx, const CausalAttention& attention, const AttentionRows& history,
                               const AttentionRows& candidates, const ConstView& dhistory_out,
                               const ConstView& dcandidates_out, const AttentionRowsGrad& dhistory,
                               const AttentionRowsGrad& dcandidates) {
  const TraceRange range(ctx, "causal_attention_backward");
  check(ctx, attention, history, candidates, dhistory_out, dcandidates_out);
  check(ctx, attention, {dhistory.q, dhistory.k, dhistory.v}, {dcandidates.q, dcandidates.k, dcandidates.v},
        dhistory_out, dcandidates_out);
  dispatch(
      ctx, "causal_attention_backward",
      [&](auto) {
        cpu::causal_attention_backward(ctx, attention, history, candidates, dhistory_out, dcandidates_out,
                                       dhistory, dcandidates);
      },
      [&] {
        cuda::causal_attention_backward(ctx, attention, history, candidates, dhistory_out, dcandidates_out,
                                        dhistory, dcandidates);
      });
}

double causal_attention_flops(const CausalAttention& attention, int64_t width, bool history_updated) {
  double pairs = 0;
  for (int64_t b = 0; b < attention.history.segments(); ++b) {
    const auto n = static_cast<double>(attention.history.length(b));
    pairs += static_cast<double>(attention.candidates.length(b)) * (n + 1);
    if (history_updated) pairs += n * (n + 1) / 2;
  }
  return 4 * pairs * static_cast<double>(width);
}

}  // namespace lime
