// Two towers, late interaction only: z_c = T_c . MLP([mean of the history tokens ; u]). O(N + C) a request.
#pragma once

#include "layers/interaction.h"
#include "layers/mlp.h"

namespace lime {

class TwoTower final : public Interaction {
 public:
  TwoTower(const RankingModelConfig&, ParameterStore&);
  double forward_flops(int64_t requests, int64_t history_tokens, int64_t candidates) const override;

 protected:
  void do_forward(Context&, const InteractionInput&, View z) override;
  void do_backward(Context&, const InteractionInput&, const ConstView& dz, const InteractionGrad&) override;

 private:
  int64_t width_;
  Mlp user_;
  View mean_, user_rows_;  // B x d; C x d, the user vector of each candidate's request
};

}  // namespace lime
