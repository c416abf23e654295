// LIME: links meet the history, candidates meet the links (Jiang et al., arXiv 2510.18239).
//
//   L^C = context of the global links L and the user     link_context.h
//   L^P = links after meeting the history                lime_xor: xor_block.h; lime_mha: link_mha.h
//   z   = decoupled attention of the candidates          decoupled_attention.h
#pragma once

#include <memory>

#include "layers/decoupled_attention.h"
#include "layers/interaction.h"
#include "layers/link_context.h"
#include "layers/personaliser.h"

namespace lime {

class Lime final : public Interaction {
 public:
  // config.name: lime_mha or lime_xor
  Lime(const RankingModelConfig&, ParameterStore&);
  double forward_flops(int64_t requests, int64_t history_tokens, int64_t candidates) const override;
  int64_t rows_in_front(int64_t requests) const override { return requests * links_.rows; }  // L^C

  // The two sides by themselves. L^P (B*links x d) of requests, L^C going to lc, of that shape ...
  void personalise(Context&, const ConstView& tokens, const ConstView& user, const Jagged& history,
                   const HistoryParts&, View lc, View lp);
  // ... and P (C x heads*links) of candidates, whatever the request.
  void candidate_weights(Context&, const ConstView& candidates, View p);
  const DecoupledAttention& attention() const { return attention_; }
  int64_t links() const { return links_.rows; }

 protected:
  void do_forward(Context&, const InteractionInput&, View z) override;
  void do_backward(Context&, const InteractionInput&, const ConstView& dz, const InteractionGrad&) override;

 private:
  ParameterStore& store_;
  Parameter& links_;
  LinkContext context_;
  std::unique_ptr<Personaliser> personaliser_;
  DecoupledAttention attention_;
};

}  // namespace lime
