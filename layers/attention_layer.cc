#include "layers/attention_layer.h"

namespace lime {

AttentionLayer::AttentionLayer(ParameterStore& store, const std::string& name, int64_t width)
    : width_(width),
      norm_q_(store, name + ".norm_q", width),
      norm_k_(store, name + ".norm_k", width),
      q_(store, name + ".q", width, width, false),
      kv_(store, name + ".kv", width, 2 * width, false),
      out_(store, name + ".out", width, width),
      norm_f_(store, name + ".norm_f", width),
      feed_forward_(store, name + ".feed_forward", width, 2 * width, width) {}

void AttentionLayer::begin(Context& ctx, const ConstView& x, int64_t events) {
  x_ = x;
  stats_q_ = LayerNormStats::alloc(ctx, x.rows());
  normed_q_ = ctx.alloc(x.rows(), width_), queries_ = ctx.alloc(x.rows(), width_);
  norm_q_.forward(ctx, x, normed_q_, stats_q_);
  q_.forward(ctx, normed_q_, queries_);
  stats_k_ = LayerNormStats::alloc(ctx, events);
}

void AttentionLayer::keys_values(Context& ctx, const ConstView& tokens, int64_t first, View kv) const {
  const Arena::Scope scope(ctx.arena());
  View normed = ctx.alloc(tokens.rows(), width_);
  norm_k_.forward(ctx, tokens, normed, stats_k_.slice_rows(first, first + tokens.rows()));
  kv_.forward(ctx, normed, kv);
}

void AttentionLayer::finish(Context& ctx, const ConstView& attended, View y) {
  attended_ = attended;
  middle_ = ctx.alloc(y.rows(), width_);
  out_.forward(ctx, attended, middle_);
  add(ctx, x_, middle_);
  stats_f_ = LayerNormStats::alloc(ctx, y.rows());
  View normed = ctx.alloc(y.rows(), width_);
  norm_f_.forward(ctx, middle_, normed, stats_f_);
  feed_forward_.forward(ctx, normed, y);
  add(ctx, middle_, y);
}

void AttentionLayer::finish_backward(Context& ctx, View dx, View dattended) {
  const Arena::Scope scope(ctx.arena());
  View dnormed = ctx.alloc(dx.rows(), width_);
  feed_forward_.backward(ctx, dx, GradMode::overwrite, dnormed);
  feed_forward_.ready();
  norm_f_.backward(ctx, middle_, stats_f_, dnormed, GradMode::accumulate, dx);
  norm_f_.ready();
  out_.backward(ctx, attended_, dx, GradMode::overwrite, dattended);
  out_.ready();
}

void AttentionLayer::keys_values_backward(Context& ctx, const ConstView& tokens, int64_t first,
                                          const ConstView& dkv, View dtokens) const {
  const Arena::Scope scope(ctx.arena());
  const LayerNormStats stats = stats_k_.slice_rows(first, first + tokens.rows());
  View normed = ctx.alloc(tokens.rows(), width_);
  norm_k_.recompute(ctx, tokens, stats, normed);  // cheaper than kept
  kv_.backward(ctx, normed, dkv, GradMode::overwrite, dtokens);
  norm_k_.backward(ctx, tokens, stats, dtokens, GradMode::overwrite, dtokens);
}

void AttentionLayer::queries_backward(Context& ctx, const ConstView& dq, View dx) const {
  const Arena::Scope scope(ctx.arena());
  View dnormed = ctx.alloc(dq.rows(), width_);
  kv_.ready();
  q_.backward(ctx, normed_q_, dq, GradMode::overwrite, dnormed);
  q_.ready();
  norm_q_.backward(ctx, x_, stats_q_, dnormed, GradMode::accumulate, dx);
  norm_k_.ready();
  norm_q_.ready();
}

double AttentionLayer::forward_flops(double rows, double history_tokens) const {
  const auto d = static_cast<double>(width_);
  return 2 * d * d * (2 * rows + 2 * history_tokens) + 8 * rows * d * d;
}

}  // namespace lime
