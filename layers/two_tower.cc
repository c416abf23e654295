#include "layers/two_tower.h"

namespace lime {

TwoTower::TwoTower(const RankingModelConfig& c, ParameterStore& store)
    : width_(c.width), user_(store, "interaction.user", c.width + c.user_features, c.width, c.width) {}

void TwoTower::do_forward(Context& ctx, const InteractionInput& in, View z) {
  const int64_t requests = in.history.segments();
  mean_ = ctx.alloc(requests, width_);
  segment_mean(ctx, in.tokens, in.history, mean_);
  View hidden = ctx.alloc(requests, user_.hidden()), user = ctx.alloc(requests, width_);
  user_.add_part(ctx, 0, mean_, GradMode::overwrite, hidden);
  user_.add_part(ctx, width_, in.user, GradMode::accumulate, hidden);
  user_.finish(ctx, hidden, user);
  user_rows_ = ctx.alloc(z.rows(), width_);
  repeat_rows(ctx, user, in.impressions, user_rows_);
  multiply(ctx, in.candidates, user_rows_, z);
}

void TwoTower::do_backward(Context& ctx, const InteractionInput& in, const ConstView& dz,
                           const InteractionGrad& grad) {
  const Arena::Scope scope(ctx.arena());
  multiply_add(ctx, dz, user_rows_, grad.candidates);
  View drows = ctx.alloc(dz.rows(), width_), duser = ctx.alloc(mean_.rows(), width_);
  multiply(ctx, dz, in.candidates, drows);
  repeat_rows_backward(ctx, drows, in.impressions, GradMode::overwrite, duser);
  View dhidden = ctx.alloc(mean_.rows(), user_.hidden()), dmean = ctx.alloc(mean_.rows(), width_);
  user_.finish_backward(ctx, duser, dhidden);
  user_.add_part_backward(ctx, 0, mean_, dhidden, GradMode::overwrite, dmean);
  user_.add_part_backward(ctx, width_, in.user, dhidden, GradMode::accumulate, grad.user);
  user_.ready();
  segment_mean_backward(ctx, dmean, in.history, GradMode::overwrite, grad.tokens);
}

double TwoTower::forward_flops(int64_t requests, int64_t, int64_t) const {
  return user_.forward_flops(requests);
}

}  // namespace lime
