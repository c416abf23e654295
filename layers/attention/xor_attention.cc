#include "layers/attention/xor_attention.h"

#include "layers/cpu_kernels.h"
#include "layers/cuda_kernels_attention.h"
#include "layers/dispatch.h"
#include "runtime/trace.h"

namespace lime {
namespace {

// Checks everything both directions share; returns whether history rows are updated.
bool check(const Context& ctx, const XorAttentionTile& tile, const AttentionRows& history,
           const AttentionRows& links, const ConstView& history_out, const ConstView& links_out) {
  const int64_t rows = history.k.rows(), d = history.k.cols(),
                link_rows = tile.history.segments() * tile.links;
  LIME_CHECK(tile.heads > 0 && tile.links > 0 && d % tile.heads == 0, "heads ", tile.heads, ", links ",
             tile.links, ", width ", d);
  LIME_CHECK(tile.first >= 0 && tile.first + rows <= tile.history.rows(), "rows ", tile.first, " + ", rows,
             " of ", tile.history.rows());
  check_shape(ctx, history.k, rows, d, "history k");
  check_shape(ctx, history.v, rows, d, "history v");
  check_shape(ctx, links.q, link_rows, d, "links q");
  check_shape(ctx, links_out, link_rows, d, "links out");
  const bool both = links.k.cols() > 0;
  if (both) {
    check_shape(ctx, history.q, rows, d, "history q");
    check_shape(ctx, history_out, rows, d, "history out");
    check_shape(ctx, links.k, link_rows, d, "links k");
    check_shape(ctx, links.v, link_rows, d, "links v");
  } else {
    LIME_CHECK(history.q.empty() && history_out.empty() && links.v.empty(),
               "one direction only, but given both");
  }
  return both;
}

}  // namespace

void xor_attention(Context& ctx, const XorAttentionTile& tile, const AttentionRows& history,
                   const AttentionRows& links, View history_out, View links_out) {
  const TraceRange range(ctx, "xor_attention");
  const bool both = check(ctx, tile, history, links, history_out, links_out);
  if (history.k.rows() == 0) return;
  dispatch(
      ctx, "xor_attention",
      [&](auto) { cpu::xor_attention(ctx, tile, both, history, links, history_out, links_out); },
      [&] { cuda::xor_attention(ctx, tile, both, history, links, history_out, links_out); });
}

void xor_attention_backward(Context& ctx, const XorAttentionTile& tile, const AttentionRows& history,
                            const AttentionRows& links, const ConstView& dhistory_out,
                            const ConstView& dlinks_out, const AttentionRowsGrad& dhistory,
                            const AttentionRowsGrad& dlinks) {
  const TraceRange range(ctx, "xor_attention_backward");
  const bool both = check(ctx, tile, history, links, dhistory_out, dlinks_out);
  check(ctx, tile, {dhistory.q, dhistory.k, dhistory.v}, {dlinks.q, dlinks.k, dlinks.v}, dhistory_out,
        dlinks_out);
  if (history.k.rows() == 0) return;
  dispatch(
      ctx, "xor_attention_backward",
      [&](auto) {
        cpu::xor_attention_backward(ctx, tile, both, history, links, dhistory_out, dlinks_out, dhistory,
                                    dlinks);
      },
      [&] {
        cuda::xor_attention_backward(ctx, tile, both, history, links, dhistory_out, dlinks_out, dhistory,
                                     dlinks);
      });
}

double xor_attention_flops(int64_t history_rows, int64_t links, int64_t width, bool both_directions) {
  return (both_directions ? 8.0 : 4.0) * static_cast<double>(history_rows) *
         static_cast<double>(links * width);
}

}  // namespace lime
