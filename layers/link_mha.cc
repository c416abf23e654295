#include "layers/link_mha.h"

#include <algorithm>

#include "layers/dispatch.h"
#include "runtime/trace.h"

namespace lime {

LinkMha::LinkMha(ParameterStore& store, const std::string& name, int64_t width, int64_t heads, int64_t links)
    : width_(width),
      heads_(heads),
      links_(links),
      norm_q_(store, name + ".norm_q", width),
      norm_k_(store, name + ".norm_k", width),
      q_(store, name + ".q", width, width, false),
      kv_(store, name + ".kv", width, 2 * width, false),
      out_(store, name + ".out", width, width),
      norm_f_(store, name + ".norm_f", width),
      feed_forward_(store, name + ".feed_forward", width, 2 * width, width) {}

void LinkMha::forward(Context& ctx, const ConstView& lc, const ConstView& tokens, const Jagged& history,
                      View lp) {
  const TraceRange range(ctx, "link_mha");
  const int64_t link_rows = history.segments() * links_, d = width_;
  check_shape(ctx, lc, link_rows, d, "contextualised links");
  check_shape(ctx, tokens, history.rows(), d, "tokens");
  check_shape(ctx, lp, link_rows, d, "personalised links");
  attention_ = {heads_, links_, history};
  lc_ = lc, tokens_ = tokens;

  stats_q_ = LayerNormStats::alloc(ctx, link_rows);
  normed_q_ = ctx.alloc(link_rows, d), queries_ = ctx.alloc(link_rows, d);
  norm_q_.forward(ctx, lc, normed_q_, stats_q_);
  q_.forward(ctx, normed_q_, queries_);

  stats_k_ = LayerNormStats::alloc(ctx, tokens.rows());
  keys_values_ = ctx.alloc(tokens.rows(), 2 * d);
  attended_ = ctx.alloc(link_rows, d);
  const int64_t state_rows = history.segments() * heads_;
  state_ = {ctx.alloc_parameter(state_rows, links_), ctx.alloc_parameter(state_rows, links_)};
  link_attention_begin(ctx, attention_, state_, attended_);
  const int64_t step = ctx.tile_rows(4 * d);
  for (int64_t first = 0; first < tokens.rows(); first += step) {
    const Arena::Scope scope(ctx.arena());
    const int64_t end = std::min(first + step, tokens.rows());
    View normed = ctx.alloc(end - first, d), kv = keys_values_.slice_rows(first, end);
    norm_k_.forward(ctx, tokens.slice_rows(first, end), normed, stats_k_.slice_rows(first, end));
    kv_.forward(ctx, normed, kv);
    link_attention_tile(ctx, attention_, first, queries_, kv.slice_cols(0, d), kv.slice_cols(d, 2 * d),
                        state_, attended_);
  }
  link_attention_finish(ctx, attention_, state_, attended_);

  middle_ = ctx.alloc(link_rows, d);
  out_.forward(ctx, attended_, middle_);
  add(ctx, lc, middle_);
  stats_f_ = LayerNormStats::alloc(ctx, link_rows);
  View normed_f = ctx.alloc(link_rows, d);
  norm_f_.forward(ctx, middle_, normed_f, stats_f_);
  feed_forward_.forward(ctx, normed_f, lp);
  add(ctx, middle_, lp);
}

void LinkMha::backward(Context& ctx, View dlinks, View dtokens) {
  const TraceRange range(ctx, "link_mha_backward");
  const Arena::Scope scope(ctx.arena());
  const int64_t link_rows = lc_.rows(), d = width_;
  check_shape(ctx, dlinks, link_rows, d, "gradient of links");
  check_shape(ctx, dtokens, tokens_.rows(), d, "gradient of tokens");

  View dx = ctx.alloc(link_rows, d), dattended = ctx.alloc(link_rows, d), dq = ctx.zeros(link_rows, d);
  feed_forward_.backward(ctx, dlinks, GradMode::overwrite, dx);
  feed_forward_.ready();
  norm_f_.backward(ctx, middle_, stats_f_, dx, GradMode::accumulate, dlinks);
  norm_f_.ready();
  out_.backward(ctx, attended_, dlinks, GradMode::overwrite, dattended);
  out_.ready();

  link_attention_backward_begin(ctx, attention_, attended_, dattended, state_);
  const int64_t step = ctx.tile_rows(6 * d);
  for (int64_t first = 0; first < tokens_.rows(); first += step) {
    const Arena::Scope tile_scope(ctx.arena());
    const int64_t end = std::min(first + step, tokens_.rows());
    const View kv = keys_values_.slice_rows(first, end), dx_tile = dtokens.slice_rows(first, end);
    const LayerNormStats stats = stats_k_.slice_rows(first, end);
    View normed = ctx.alloc(end - first, d), dkv = ctx.alloc(end - first, 2 * d);
    link_attention_backward_tile(ctx, attention_, first, queries_, kv.slice_cols(0, d),
                                 kv.slice_cols(d, 2 * d), dattended, state_, dq, dkv.slice_cols(0, d),
                                 dkv.slice_cols(d, 2 * d));
    norm_k_.forward(ctx, tokens_.slice_rows(first, end), normed, stats);  // cheaper than kept
    kv_.backward(ctx, normed, dkv, GradMode::overwrite, dx_tile);
    norm_k_.backward(ctx, tokens_.slice_rows(first, end), stats, dx_tile, GradMode::overwrite, dx_tile);
  }
  kv_.ready();
  q_.backward(ctx, normed_q_, dq, GradMode::overwrite, dx);
  q_.ready();
  norm_q_.backward(ctx, lc_, stats_q_, dx, GradMode::accumulate, dlinks);
  norm_k_.ready();
  norm_q_.ready();
}

double LinkMha::forward_flops(int64_t requests, int64_t history_tokens) const {
  const auto l = static_cast<double>(requests * links_), t = static_cast<double>(history_tokens);
  const auto d = static_cast<double>(width_);
  return 2 * d * d * (2 * l + 2 * t) + 4 * t * static_cast<double>(links_) * d + 8 * l * d * d;
}

}  // namespace lime
