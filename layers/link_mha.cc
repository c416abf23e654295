#include "layers/link_mha.h"

#include "layers/dispatch.h"
#include "layers/row_tiles.h"
#include "runtime/primitives.h"
#include "runtime/trace.h"

namespace lime {

LinkMha::LinkMha(ParameterStore& store, const std::string& name, int64_t width, int64_t heads, int64_t links)
    : width_(width), heads_(heads), links_(links), layer_(store, name, width) {}

// Sums over a part of each history become those over the whole, at the largest maximum of all parts.
void LinkMha::merge_parts(Context& ctx) {
  if (!parts_.ranks) return;
  const Arena::Scope scope(ctx.arena());
  const View maximum = ctx.alloc_parameter(state_.maximum.rows(), state_.maximum.cols());
  copy(ctx, state_.maximum, maximum);
  reduce_parts(ctx, parts_, ReduceOp::max, maximum);
  link_attention_rescale(ctx, attention_, maximum, state_, attended_);
  reduce_parts(ctx, parts_, ReduceOp::sum, state_.sum);
  reduce_parts(ctx, parts_, ReduceOp::sum, attended_);
}

void LinkMha::forward(Context& ctx, const ConstView& lc, const ConstView& tokens, const Jagged& history,
                      const HistoryParts& parts, View lp) {
  const TraceRange range(ctx, "link_mha");
  const int64_t link_rows = history.segments() * links_, d = width_;
  check_shape(ctx, lc, link_rows, d, "contextualised links");
  check_shape(ctx, tokens, history.rows(), d, "tokens");
  check_shape(ctx, lp, link_rows, d, "personalised links");
  attention_ = {heads_, links_, history};
  tokens_ = tokens, parts_ = parts;
  layer_.begin(ctx, lc, tokens.rows());

  keys_values_ = ctx.alloc(tokens.rows(), 2 * d);
  attended_ = ctx.alloc(link_rows, d);
  const int64_t state_rows = history.segments() * heads_;
  state_ = {ctx.alloc_parameter(state_rows, links_), ctx.alloc_parameter(state_rows, links_)};
  link_attention_begin(ctx, attention_, state_, attended_);
  each_tile(ctx, tokens.rows(), 4 * d, [&](int64_t first, int64_t end) {
    View kv = keys_values_.slice_rows(first, end);
    layer_.keys_values(ctx, tokens.slice_rows(first, end), first, kv);
    link_attention_tile(ctx, attention_, first, layer_.queries(), kv.slice_cols(0, d),
                        kv.slice_cols(d, 2 * d), state_, attended_);
  });
  merge_parts(ctx);
  link_attention_finish(ctx, attention_, state_, attended_);
  layer_.finish(ctx, attended_, lp);
}

void LinkMha::backward(Context& ctx, View dlinks, View dtokens) {
  const TraceRange range(ctx, "link_mha_backward");
  const Arena::Scope scope(ctx.arena());
  const int64_t link_rows = attended_.rows(), d = width_;
  check_shape(ctx, dlinks, link_rows, d, "gradient of links");
  check_shape(ctx, dtokens, tokens_.rows(), d, "gradient of tokens");

  View dattended = ctx.alloc(link_rows, d), dq = ctx.zeros(link_rows, d);
  layer_.finish_backward(ctx, dlinks, dattended);
  reduce_parts(ctx, parts_, ReduceOp::sum, dattended);
  link_attention_backward_begin(ctx, attention_, attended_, dattended, state_);
  each_tile(ctx, tokens_.rows(), 6 * d, [&](int64_t first, int64_t end) {
    const Arena::Scope tile_scope(ctx.arena());
    const View kv = keys_values_.slice_rows(first, end);
    View dkv = ctx.alloc(end - first, 2 * d);
    link_attention_backward_tile(ctx, attention_, first, layer_.queries(), kv.slice_cols(0, d),
                                 kv.slice_cols(d, 2 * d), dattended, state_, dq, dkv.slice_cols(0, d),
                                 dkv.slice_cols(d, 2 * d));
    layer_.keys_values_backward(ctx, tokens_.slice_rows(first, end), first, dkv,
                                dtokens.slice_rows(first, end));
  });
  layer_.queries_backward(ctx, dq, dlinks);
}

double LinkMha::forward_flops(int64_t requests, int64_t history_tokens) const {
  return layer_.forward_flops(static_cast<double>(requests * links_), static_cast<double>(history_tokens)) +
         4.0 * static_cast<double>(history_tokens * links_ * width_);
}

}  // namespace lime
