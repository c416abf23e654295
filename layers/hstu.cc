#include "layers/hstu.h"

namespace lime {

Hstu::Hstu(const RankingModelConfig& c, ParameterStore& store) {
  for (int64_t k = 0; k < c.blocks; ++k)
    blocks_.push_back(
        std::make_unique<HstuBlock>(store, str("interaction.block", k), c.width, c.heads, k + 1 == c.blocks));
}

void Hstu::do_forward(Context& ctx, const InteractionInput& in, View z) {
  ConstView tokens = in.tokens, candidates = in.candidates;
  for (const auto& block : blocks_) {
    const bool last = block == blocks_.back();
    View tokens_out = last ? View{} : ctx.alloc(tokens.rows(), tokens.cols());
    View candidates_out = last ? z : ctx.alloc(candidates.rows(), candidates.cols());
    block->forward(ctx, in.history, in.impressions, tokens, candidates, tokens_out, candidates_out);
    tokens = tokens_out, candidates = candidates_out;
  }
}

void Hstu::do_backward(Context& ctx, const InteractionInput&, const ConstView& dz,
                       const InteractionGrad& grad) {
  const Arena::Scope scope(ctx.arena());
  View dcandidates = ctx.alloc(dz.rows(), dz.cols());
  copy(ctx, dz, dcandidates);
  for (auto it = blocks_.rbegin(); it != blocks_.rend(); ++it) (*it)->backward(ctx, grad.tokens, dcandidates);
  add(ctx, dcandidates, grad.candidates);
}

double Hstu::forward_flops(int64_t requests, int64_t history_tokens, int64_t candidates) const {
  double sum = 0;
  for (const auto& block : blocks_) sum += block->forward_flops(requests, history_tokens, candidates);
  return sum;
}

}  // namespace lime
