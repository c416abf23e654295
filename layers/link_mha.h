// LIME-MHA's personaliser: one multi-head attention of the links over the history, then a feed-forward layer.
//
//   Q = LN_q(L^C) W_q,  [K|V] = LN_k(E) W_kv            no biases
//   L1  = L^C + softmax(Q K^T / sqrt(d_h)) V W_o + b_o
//   L^P = L1 + MLP(LN_f(L1)), hidden width 2d
//
// History tokens go through in tiles; each is read once. An empty history contributes b_o and the
// feed-forward layer.
#pragma once

#include <string>

#include "layers/attention/link_attention.h"
#include "layers/attention_layer.h"
#include "layers/personaliser.h"

namespace lime {

class LinkMha final : public Personaliser {
 public:
  LinkMha(ParameterStore&, const std::string& name, int64_t width, int64_t heads, int64_t links);

  void forward(Context&, const ConstView& lc, const ConstView& tokens, const Jagged& history,
               const HistoryParts&, View lp) override;
  void backward(Context&, View dlinks, View dtokens) override;
  double forward_flops(int64_t requests, int64_t history_tokens) const override;

 private:
  void merge_parts(Context&);

  int64_t width_, heads_, links_;
  AttentionLayer layer_;
  // From forward to backward.
  LinkAttention attention_{};
  HistoryParts parts_;
  ConstView tokens_;
  View keys_values_, attended_;
  LinkAttentionState state_;
};

}  // namespace lime
