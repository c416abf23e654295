// HSTU: K causal blocks over the history; candidates see the history and themselves, never each other.
// z = the candidates' rows after the last block. The baseline whose cost grows with N^2.
#pragma once

#include <memory>
#include <vector>

#include "layers/hstu_block.h"
#include "layers/interaction.h"

namespace lime {

class Hstu final : public Interaction {
 public:
  Hstu(const RankingModelConfig&, ParameterStore&);
  double forward_flops(int64_t requests, int64_t history_tokens, int64_t candidates) const override;

 private:
  void do_forward(Context&, const InteractionInput&, View z) override;
  void do_backward(Context&, const InteractionInput&, const ConstView& dz, const InteractionGrad&) override;

  std::vector<std::unique_ptr<HstuBlock>> blocks_;
};

}  // namespace lime
