// HSTU block: a gated block (gated_block.h) on X = [history ; candidates] under causal attention with targets
// (causal_attention.h), after Zhai et al., "Actions speak louder than words", arXiv 2402.17152.
//
// The last block's history rows are not updated: only their K and V are computed. Cost O(N^2 d) a request in
// every block but the last, O(N d) a candidate. What attention needs of all rows at once, [U|Q|K|V], is held
// while a block runs; kept for backward is what gated_block.h says.
#pragma once

#include <string>

#include "layers/attention/causal_attention.h"
#include "layers/gated_block.h"

namespace lime {

class HstuBlock {
 public:
  HstuBlock(ParameterStore&, const std::string& name, int64_t width, int64_t heads, bool last);

  // tokens, tokens_out: T x d (tokens_out empty in the last block); candidates, candidates_out: C x d.
  void forward(Context&, const Jagged& history, const Jagged& impressions, const ConstView& tokens,
               const ConstView& candidates, View tokens_out, View candidates_out);
  // In place: gradients of the outputs in, of the inputs out; in the last block dtokens is overwritten.
  void backward(Context&, View dtokens, View dcandidates);
  // For requests of equal lengths.
  double forward_flops(int64_t requests, int64_t history_tokens, int64_t candidates) const;

 private:
  void project(Context&, const GatedBlock::Rows&, View a) const;
  void update(Context&, const GatedBlock::Rows&, const View& a, View x_out) const;

  GatedBlock block_;
  int64_t heads_;
  bool last_;
  CausalAttention attention_{};
  GatedBlock::Rows token_rows_{}, candidate_rows_{};
};

}  // namespace lime
