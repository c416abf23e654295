#include "layers/mha.h"

#include <algorithm>

namespace lime {

Mha::Mha(const RankingModelConfig& c, ParameterStore& store)
    : width_(c.width),
      heads_(c.heads),
      norm_q_(store, "interaction.mha.norm_q", c.width),
      norm_k_(store, "interaction.mha.norm_k", c.width),
      q_(store, "interaction.mha.q", c.width, c.width, false),
      kv_(store, "interaction.mha.kv", c.width, 2 * c.width, false),
      out_(store, "interaction.mha.out", c.width, c.width),
      norm_f_(store, "interaction.mha.norm_f", c.width),
      feed_forward_(store, "interaction.mha.feed_forward", c.width, 2 * c.width, c.width) {}

void Mha::do_forward(Context& ctx, const InteractionInput& in, View z) {
  const int64_t d = width_, targets = in.candidates.rows(), events = in.tokens.rows();
  attention_ = {heads_, in.history, in.impressions};
  stats_q_ = LayerNormStats::alloc(ctx, targets);
  normed_q_ = ctx.alloc(targets, d), queries_ = ctx.alloc(targets, d);
  norm_q_.forward(ctx, in.candidates, normed_q_, stats_q_);
  q_.forward(ctx, normed_q_, queries_);

  stats_k_ = LayerNormStats::alloc(ctx, events);
  keys_values_ = ctx.alloc(events, 2 * d);
  const int64_t step = ctx.tile_rows(4 * d);
  for (int64_t first = 0; first < events; first += step) {
    const Arena::Scope scope(ctx.arena());
    const int64_t end = std::min(first + step, events);
    View normed = ctx.alloc(end - first, d);
    norm_k_.forward(ctx, in.tokens.slice_rows(first, end), normed, stats_k_.slice_rows(first, end));
    kv_.forward(ctx, normed, keys_values_.slice_rows(first, end));
  }
  attended_ = ctx.alloc(targets, d), lse_ = ctx.alloc(targets, heads_);
  target_attention(ctx, attention_, queries_, keys_values_.slice_cols(0, d),
                   keys_values_.slice_cols(d, 2 * d), attended_, lse_);

  middle_ = ctx.alloc(targets, d);
  out_.forward(ctx, attended_, middle_);
  add(ctx, in.candidates, middle_);
  stats_f_ = LayerNormStats::alloc(ctx, targets);
  View normed_f = ctx.alloc(targets, d);
  norm_f_.forward(ctx, middle_, normed_f, stats_f_);
  feed_forward_.forward(ctx, normed_f, z);
  add(ctx, middle_, z);
}

void Mha::do_backward(Context& ctx, const InteractionInput& in, const ConstView& dz,
                      const InteractionGrad& grad) {
  const Arena::Scope scope(ctx.arena());
  const int64_t d = width_, targets = dz.rows(), events = in.tokens.rows();
  View dmiddle = ctx.alloc(targets, d), dx = ctx.alloc(targets, d), dattended = ctx.alloc(targets, d);
  copy(ctx, dz, dmiddle);
  feed_forward_.backward(ctx, dz, GradMode::overwrite, dx);
  feed_forward_.ready();
  norm_f_.backward(ctx, middle_, stats_f_, dx, GradMode::accumulate, dmiddle);
  norm_f_.ready();
  out_.backward(ctx, attended_, dmiddle, GradMode::overwrite, dattended);
  out_.ready();
  add(ctx, dmiddle, grad.candidates);

  View dq = ctx.alloc(targets, d), dkv = ctx.alloc(events, 2 * d);
  target_attention_backward(ctx, attention_, queries_, keys_values_.slice_cols(0, d),
                            keys_values_.slice_cols(d, 2 * d), attended_, lse_, dattended, dq,
                            dkv.slice_cols(0, d), dkv.slice_cols(d, 2 * d));
  const int64_t step = ctx.tile_rows(4 * d);
  for (int64_t first = 0; first < events; first += step) {
    const Arena::Scope tile_scope(ctx.arena());
    const int64_t end = std::min(first + step, events);
    const ConstView tokens = in.tokens.slice_rows(first, end);
    const View dtokens = grad.tokens.slice_rows(first, end);
    const LayerNormStats stats = stats_k_.slice_rows(first, end);
    View normed = ctx.alloc(end - first, d);
    norm_k_.recompute(ctx, tokens, stats, normed);
    kv_.backward(ctx, normed, dkv.slice_rows(first, end), GradMode::overwrite, dtokens);
    norm_k_.backward(ctx, tokens, stats, dtokens, GradMode::overwrite, dtokens);
  }
  kv_.ready();
  norm_k_.ready();
  q_.backward(ctx, normed_q_, dq, GradMode::overwrite, dx);
  q_.ready();
  norm_q_.backward(ctx, in.candidates, stats_q_, dx, GradMode::accumulate, grad.candidates);
  norm_q_.ready();
}

double Mha::forward_flops(int64_t requests, int64_t history_tokens, int64_t candidates) const {
  const auto t = static_cast<double>(history_tokens), c = static_cast<double>(candidates),
             d = static_cast<double>(width_);
  const double pairs = requests > 0 ? c * t / static_cast<double>(requests) : 0;
  return 2 * d * d * (2 * c + 2 * t) + 4 * pairs * d + 8 * c * d * d;
}

}  // namespace lime
