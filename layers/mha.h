// MHA: candidates attend to the history by softmax (target attention), then a feed-forward layer.
//
//   Q = LN_q(T_c) W_q,  [K|V] = LN_k(E) W_kv              no biases
//   x   = T_c + softmax(Q K^T / sqrt(d_h)) V W_o + b_o
//   z_c = x + MLP(LN_f(x)), hidden width 2d
//
// What LIME-MHA does with links, done with every candidate: O(N d) a candidate. With a history compression
// (history_compression.h) E is its at most l rows, and a candidate costs O(l d):
//
//   mha            E = all tokens
//   truncated_mha  E = the last l of them
//   linformer      E = l rows of a low-rank projection along time
#pragma once

#include <memory>

#include "layers/attention/target_attention.h"
#include "layers/attention_layer.h"
#include "layers/history_compression.h"
#include "layers/interaction.h"

namespace lime {

class Mha final : public Interaction {
 public:
  // config.name: mha, truncated_mha or linformer
  Mha(const RankingModelConfig&, ParameterStore&);
  double forward_flops(int64_t requests, int64_t history_tokens, int64_t candidates) const override;

 private:
  void do_forward(Context&, const InteractionInput&, View z) override;
  void do_backward(Context&, const InteractionInput&, const ConstView& dz, const InteractionGrad&) override;

  int64_t width_, heads_;
  std::unique_ptr<HistoryCompression> compression_;  // null in mha
  AttentionLayer layer_;
  // From forward to backward.
  CompressedHistory history_;
  TargetAttention attention_{};
  View keys_values_, attended_, lse_;
};

}  // namespace lime
