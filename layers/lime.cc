#include "layers/lime.h"

#include "layers/link_mha.h"
#include "layers/xor_block.h"

namespace lime {
namespace {

std::unique_ptr<Personaliser> make_personaliser(const RankingModelConfig& c, ParameterStore& store) {
  if (c.name == "lime_mha")
    return std::make_unique<LinkMha>(store, "interaction.mha", c.width, c.heads, c.links);
  return std::make_unique<XorStack>(store, "interaction", c.width, c.heads, c.links, c.blocks);
}

}  // namespace

Lime::Lime(const RankingModelConfig& c, ParameterStore& store)
    : store_(store),
      links_(store.add("interaction.links", c.links, c.width, Init::unit, Role::rows)),
      context_(store, "interaction.context", c.links, c.width, c.user_features),
      personaliser_(make_personaliser(c, store)),
      attention_(store, "interaction.decoupled", c.width, c.heads, c.links, c.candidate_attention) {}

void Lime::personalise(Context& ctx, const ConstView& tokens, const ConstView& user, const Jagged& history,
                       const HistoryParts& parts, View lc, View lp) {
  context_.forward(ctx, links_.value, user, lc);
  personaliser_->forward(ctx, lc, tokens, history, parts, lp);
}

void Lime::candidate_weights(Context& ctx, const ConstView& candidates, View p) {
  attention_.weights(ctx, candidates, links_.value, p);
}

void Lime::do_forward(Context& ctx, const InteractionInput& in, View z) {
  View lp = ctx.alloc(in.user.rows() * links_.rows, links_.cols);
  const View lc = in.in_front.rows() > 0 ? in.in_front : ctx.alloc(lp.rows(), lp.cols());
  personalise(ctx, in.tokens, in.user, in.history, in.parts, lc, lp);
  attention_.forward(ctx, in.candidates, links_.value, lp, in.impressions, z);
}

void Lime::do_backward(Context& ctx, const InteractionInput& in, const ConstView& dz,
                       const InteractionGrad& grad) {
  const Arena::Scope scope(ctx.arena());
  const View dlinks =
      grad.in_front.rows() > 0 ? grad.in_front : ctx.alloc(in.user.rows() * links_.rows, links_.cols);
  attention_.backward(ctx, dz, grad.candidates, links_.grad, dlinks);
  personaliser_->backward(ctx, dlinks, grad.tokens);
  context_.backward(ctx, dlinks, links_.grad, grad.user);
  store_.ready(links_);
}

double Lime::forward_flops(int64_t requests, int64_t history_tokens, int64_t candidates) const {
  return context_.forward_flops(requests) + personaliser_->forward_flops(requests, history_tokens) +
         attention_.forward_flops(requests, candidates);
}

}  // namespace lime
