#include "layers/mha.h"

#include <algorithm>

namespace lime {

Mha::Mha(const RankingModelConfig& c, ParameterStore& store)
    : width_(c.width), heads_(c.heads), layer_(store, "interaction.mha", c.width) {}

void Mha::do_forward(Context& ctx, const InteractionInput& in, View z) {
  const int64_t d = width_, targets = in.candidates.rows(), events = in.tokens.rows();
  attention_ = {heads_, in.history, in.impressions};
  layer_.begin(ctx, in.candidates, events);
  keys_values_ = ctx.alloc(events, 2 * d);
  const int64_t step = ctx.tile_rows(4 * d);
  for (int64_t first = 0; first < events; first += step) {
    const int64_t end = std::min(first + step, events);
    layer_.keys_values(ctx, in.tokens.slice_rows(first, end), first, keys_values_.slice_rows(first, end));
  }
  attended_ = ctx.alloc(targets, d), lse_ = ctx.alloc(targets, heads_);
  target_attention(ctx, attention_, layer_.queries(), keys_values_.slice_cols(0, d),
                   keys_values_.slice_cols(d, 2 * d), attended_, lse_);
  layer_.finish(ctx, attended_, z);
}

void Mha::do_backward(Context& ctx, const InteractionInput& in, const ConstView& dz,
                      const InteractionGrad& grad) {
  const Arena::Scope scope(ctx.arena());
  const int64_t d = width_, targets = dz.rows(), events = in.tokens.rows();
  View dx = ctx.alloc(targets, d), dattended = ctx.alloc(targets, d);
  copy(ctx, dz, dx);
  layer_.finish_backward(ctx, dx, dattended);
  add(ctx, dx, grad.candidates);

  View dq = ctx.alloc(targets, d), dkv = ctx.alloc(events, 2 * d);
  target_attention_backward(ctx, attention_, layer_.queries(), keys_values_.slice_cols(0, d),
                            keys_values_.slice_cols(d, 2 * d), attended_, lse_, dattended, dq,
                            dkv.slice_cols(0, d), dkv.slice_cols(d, 2 * d));
  const int64_t step = ctx.tile_rows(4 * d);
  for (int64_t first = 0; first < events; first += step) {
    const int64_t end = std::min(first + step, events);
    layer_.keys_values_backward(ctx, in.tokens.slice_rows(first, end), first, dkv.slice_rows(first, end),
                                grad.tokens.slice_rows(first, end));
  }
  layer_.queries_backward(ctx, dq, grad.candidates);
}

double Mha::forward_flops(int64_t requests, int64_t history_tokens, int64_t candidates) const {
  const auto t = static_cast<double>(history_tokens), c = static_cast<double>(candidates),
             d = static_cast<double>(width_);
  const double pairs = requests > 0 ? c * t / static_cast<double>(requests) : 0;
  return layer_.forward_flops(candidates, history_tokens) + 4 * pairs * d;
}

}  // namespace lime
