#include "layers/attention/link_attention.h"

#include "layers/cpu_kernels.h"
#include "layers/cuda_kernels_attention.h"
#include "layers/dispatch.h"
#include "runtime/trace.h"

namespace lime {
namespace {

void check_links(const Context& ctx, const LinkAttention& a, const LinkAttentionState& state,
                 const ConstView& out) {
  const int64_t requests = a.history.segments();
  LIME_CHECK(a.heads > 0 && a.links > 0 && out.cols() % a.heads == 0, "heads ", a.heads, ", links ", a.links,
             ", width ", out.cols());
  check_shape(ctx, out, requests * a.links, out.cols(), "links out");
  for (const View& v : {state.maximum, state.sum})
    LIME_CHECK(v.rows() == requests * a.heads && v.cols() == a.links && v.device() == ctx.device(),
               "state is ", v.rows(), "x", v.cols(), " on ", to_string(v.device()), ", expected ",
               requests * a.heads, "x", a.links);
}

void check_tile(const Context& ctx, const LinkAttention& a, int64_t first, const ConstView& q,
                const ConstView& k, const ConstView& v) {
  LIME_CHECK(first >= 0 && first + k.rows() <= a.history.rows(), "rows ", first, " + ", k.rows(), " of ",
             a.history.rows());
  check_shape(ctx, q, a.history.segments() * a.links, q.cols(), "links q");
  check_shape(ctx, k, k.rows(), q.cols(), "history k");
  check_shape(ctx, v, k.rows(), q.cols(), "history v");
}

}  // namespace

void link_attention_begin(Context& ctx, const LinkAttention& a, const LinkAttentionState& state, View out) {
  check_links(ctx, a, state, out);
  dispatch(
      ctx, "link_attention", [&](auto) { cpu::link_attention_begin(state, out); },
      [&] { cuda::link_attention_begin(ctx, state, out); });
}

void link_attention_tile(Context& ctx, const LinkAttention& a, int64_t first, const ConstView& q,
                         const ConstView& k, const ConstView& v, const LinkAttentionState& state, View out) {
  const TraceRange range(ctx, "link_attention");
  check_links(ctx, a, state, out);
  check_tile(ctx, a, first, q, k, v);
  if (k.rows() == 0) return;
  dispatch(
      ctx, "link_attention", [&](auto) { cpu::link_attention_tile(ctx, a, first, q, k, v, state, out); },
      [&] { cuda::link_attention_tile(ctx, a, first, q, k, v, state, out); });
}

void link_attention_rescale(Context& ctx, const LinkAttention& a, const ConstView& maximum,
                            const LinkAttentionState& state, View out) {
  check_links(ctx, a, state, out);
  check_parameter(ctx, maximum, state.maximum.rows(), state.maximum.cols(), "maximum");
  dispatch(
      ctx, "link_attention", [&](auto) { cpu::link_attention_rescale(a, maximum, state, out); },
      [&] { cuda::link_attention_rescale(ctx, a, maximum, state, out); });
}

void link_attention_finish(Context& ctx, const LinkAttention& a, const LinkAttentionState& state, View out) {
  check_links(ctx, a, state, out);
  dispatch(
      ctx, "link_attention", [&](auto) { cpu::link_attention_finish(a, state, out); },
      [&] { cuda::link_attention_finish(ctx, a, state, out); });
}

void link_attention_backward_begin(Context& ctx, const LinkAttention& a, const ConstView& out,
                                   const ConstView& dout, const LinkAttentionState& state) {
  check_links(ctx, a, state, out);
  check_shape(ctx, dout, out.rows(), out.cols(), "gradient of links out");
  dispatch(
      ctx, "link_attention", [&](auto) { cpu::link_attention_backward_begin(a, out, dout, state); },
      [&] { cuda::link_attention_backward_begin(ctx, a, out, dout, state); });
}

void link_attention_backward_tile(Context& ctx, const LinkAttention& a, int64_t first, const ConstView& q,
                                  const ConstView& k, const ConstView& v, const ConstView& dout,
                                  const LinkAttentionState& state, View dq, View dk, View dv) {
  const TraceRange range(ctx, "link_attention_backward");
  check_links(ctx, a, state, dout);
  check_tile(ctx, a, first, q, k, v);
  check_tile(ctx, a, first, dq, dk, dv);
  if (k.rows() == 0) return;
  dispatch(
      ctx, "link_attention",
      [&](auto) { cpu::link_attention_backward_tile(ctx, a, first, q, k, v, dout, state, dq, dk, dv); },
      [&] { cuda::link_attention_backward_tile(ctx, a, first, q, k, v, dout, state, dq, dk, dv); });
}

}  // namespace lime
