// DIN: an activation unit weighs every event of the history for every candidate (Zhou et al., "Deep interest
// network for click-through rate prediction", arXiv 1706.06978).
//
//   w_cj = MLP_a([e_j ; T_c ; e_j . T_c])                 one hidden layer of head_hidden, SiLU, no softmax
//   z_c  = 1/N sum_j w_cj e_j                             zero for an empty history
//
// The hidden layer is linear in the concatenation: its e part is computed once an event, its T part once a
// candidate, and (e_j . T_c) W = e_j (W^T . T_c)^T is one product a candidate, with no N x C rows in memory.
// The mean instead of DIN's sum keeps histories of 10 and 10^5 events in one scale. Backward recomputes the
// hidden layer. O(N d hidden) a candidate.
#pragma once

#include "layers/interaction.h"
#include "layers/linear.h"

namespace lime {

class Din final : public Interaction {
 public:
  Din(const RankingModelConfig&, ParameterStore&);
  double forward_flops(int64_t requests, int64_t history_tokens, int64_t candidates) const override;

 private:
  void do_forward(Context&, const InteractionInput&, View z) override;
  void do_backward(Context&, const InteractionInput&, const ConstView& dz, const InteractionGrad&) override;

  // One candidate over its history of n events.
  struct Unit {
    ConstView events, target;  // n x d, 1 x d
    View weights;              // hidden x d: W^T . T_c
    View hidden, activated;    // n x hidden, before and after SiLU
    View w;                    // n x 1
  };
  Unit unit(Context&, const InteractionInput&, int64_t request, int64_t candidate) const;

  int64_t width_, hidden_width_;
  ParameterStore& store_;
  Linear hidden_;       // [e ; T] part, 2d x hidden
  Parameter& product_;  // [e . T] part, transposed: hidden x d
  Linear out_;
  View of_events_, of_targets_;  // the two linear parts: T x hidden, C x hidden (with bias)
};

}  // namespace lime
