// MHA: candidates attend to the history by softmax (target attention), then a feed-forward layer.
//
//   Q = LN_q(T_c) W_q,  [K|V] = LN_k(E) W_kv              no biases
//   x   = T_c + softmax(Q K^T / sqrt(d_h)) V W_o + b_o
//   z_c = x + MLP(LN_f(x)), hidden width 2d
//
// What LIME-MHA does with links, done with every candidate: O(N d) a candidate.
#pragma once

#include "layers/attention_layer.h"
#include "layers/interaction.h"
#include "layers/target_attention.h"

namespace lime {

class Mha final : public Interaction {
 public:
  Mha(const RankingModelConfig&, ParameterStore&);
  double forward_flops(int64_t requests, int64_t history_tokens, int64_t candidates) const override;

 private:
  void do_forward(Context&, const InteractionInput&, View z) override;
  void do_backward(Context&, const InteractionInput&, const ConstView& dz, const InteractionGrad&) override;

  int64_t width_, heads_;
  AttentionLayer layer_;
  // From forward to backward.
  TargetAttention attention_{};
  View keys_values_, attended_, lse_;
};

}  // namespace lime
