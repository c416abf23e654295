#include "layers/mha.h"

#include "layers/row_tiles.h"

namespace lime {
namespace {

std::unique_ptr<HistoryCompression> make_compression(const RankingModelConfig& c, ParameterStore& store) {
  if (c.name == "truncated_mha") return std::make_unique<LastEvents>(c.links);
  if (c.name == "linformer")
    return std::make_unique<LowRankProjection>(store, "interaction.time", c.links, c.width);
  return nullptr;
}

}  // namespace

Mha::Mha(const RankingModelConfig& c, ParameterStore& store)
    : width_(c.width),
      heads_(c.heads),
      compression_(make_compression(c, store)),
      layer_(store, "interaction.mha", c.width) {}

void Mha::do_forward(Context& ctx, const InteractionInput& in, View z) {
  history_ = compression_ ? compression_->forward(ctx, in.tokens, in.history)
                          : CompressedHistory{in.tokens, in.history};
  const int64_t d = width_, targets = in.candidates.rows(), events = history_.rows.rows();
  attention_ = {heads_, history_.segments, in.impressions};
  layer_.begin(ctx, in.candidates, events);
  keys_values_ = ctx.alloc(events, 2 * d);
  each_tile(ctx, events, 4 * d, [&](int64_t first, int64_t end) {
    layer_.keys_values(ctx, history_.rows.slice_rows(first, end), first, keys_values_.slice_rows(first, end));
  });
  attended_ = ctx.alloc(targets, d), lse_ = ctx.alloc_parameter(targets, heads_);
  target_attention(ctx, attention_, layer_.queries(), keys_values_.slice_cols(0, d),
                   keys_values_.slice_cols(d, 2 * d), attended_, lse_);
  layer_.finish(ctx, attended_, z);
}

void Mha::do_backward(Context& ctx, const InteractionInput&, const ConstView& dz,
                      const InteractionGrad& grad) {
  const Arena::Scope scope(ctx.arena());
  const int64_t d = width_, targets = dz.rows(), events = history_.rows.rows();
  View dx = ctx.alloc(targets, d), dattended = ctx.alloc(targets, d);
  copy(ctx, dz, dx);
  layer_.finish_backward(ctx, dx, dattended);
  add(ctx, dx, grad.candidates);

  View dq = ctx.alloc(targets, d), dkv = ctx.alloc(events, 2 * d);
  target_attention_backward(ctx, attention_, layer_.queries(), keys_values_.slice_cols(0, d),
                            keys_values_.slice_cols(d, 2 * d), attended_, lse_, dattended, dq,
                            dkv.slice_cols(0, d), dkv.slice_cols(d, 2 * d));
  View drows = compression_ ? ctx.alloc(events, d) : grad.tokens;
  each_tile(ctx, events, 4 * d, [&](int64_t first, int64_t end) {
    layer_.keys_values_backward(ctx, history_.rows.slice_rows(first, end), first, dkv.slice_rows(first, end),
                                drows.slice_rows(first, end));
  });
  layer_.queries_backward(ctx, dq, grad.candidates);
  if (compression_) compression_->backward(ctx, drows, grad.tokens);
}

double Mha::forward_flops(int64_t requests, int64_t history_tokens, int64_t candidates) const {
  if (requests == 0) return 0;
  const auto b = static_cast<double>(requests), c = static_cast<double>(candidates),
             d = static_cast<double>(width_);
  const double events = static_cast<double>(history_tokens) / b;
  const double rows = compression_ ? compression_->rows(events) : events;
  const double compressing = compression_ ? b * compression_->forward_flops(events) : 0;
  return compressing + layer_.forward_flops(c, b * rows) + 4 * c * rows * d;
}

}  // namespace lime
