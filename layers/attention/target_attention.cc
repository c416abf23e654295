#include "layers/attention/target_attention.h"

#include "layers/cpu_kernels.h"
#include "layers/cuda_kernels_attention.h"
#include "layers/dispatch.h"
#include "runtime/trace.h"

namespace lime {
namespace {

void check(const Context& ctx, const TargetAttention& a, const ConstView& q, const ConstView& k,
           const ConstView& v, const ConstView& out, const ConstView& lse) {
  const int64_t rows = a.history.rows(), targets = a.candidates.rows(), d = q.cols();
  LIME_CHECK(a.heads > 0 && d % a.heads == 0, "heads ", a.heads, ", width ", d);
  LIME_CHECK(a.history.segments() == a.candidates.segments(), "histories of ", a.history.segments(),
             " requests, candidates of ", a.candidates.segments());
  check_shape(ctx, q, targets, d, "candidates q");
  check_shape(ctx, k, rows, d, "history k");
  check_shape(ctx, v, rows, d, "history v");
  check_shape(ctx, out, targets, d, "candidates out");
  check_parameter(ctx, lse, targets, a.heads, "log-sum-exp");
}

}  // namespace

void target_attention(Context& ctx, const TargetAttention& a, const ConstView& q, const ConstView& k,
                      const ConstView& v, View out, View lse) {
  const TraceRange range(ctx, "target_attention");
  check(ctx, a, q, k, v, out, lse);
  dispatch(
      ctx, "target_attention", [&](auto) { cpu::target_attention(ctx, a, q, k, v, out, lse); },
      [&] { cuda::target_attention(ctx, a, q, k, v, out, lse); });
}

void target_attention_backward(Context& ctx, const TargetAttention& a, const ConstView& q, const ConstView& k,
                               const ConstView& v, const ConstView& out, const ConstView& lse,
                               const ConstView& dout, View dq, View dk, View dv) {
  const TraceRange range(ctx, "target_attention_backward");
  check(ctx, a, q, k, v, out, lse);
  check(ctx, a, dq, dk, dv, dout, lse);
  dispatch(
      ctx, "target_attention_backward",
      [&](auto) { cpu::target_attention_backward(ctx, a, q, k, v, out, lse, dout, dq, dk, dv); },
      [&] { cuda::target_attention_backward(ctx, a, q, k, v, out, lse, dout, dq, dk, dv); });
}

}  // namespace lime
