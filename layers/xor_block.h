// XOR block: an HSTU-style block on X = [links ; history] under the XOR mask, and LIME-XOR's stack of them.
//
//   [U|Q|K|V] = SiLU(LN_in(X) W + b),  A V = XOR attention (xor_attention.h),
//   X        += (LN_av(A V) . U) W_o + b_o                                       (gated_block.h)
//
// History rows go through in tiles (Context::tile_rows) that stay in cache from the first LayerNorm to the
// residual. The last block's history rows are not updated: only their K and V are computed, from the last 2d
// columns of W; its links need only U and Q, the first 2d. On a device the rows of the other blocks are gone
// over as the one matrix X, where history rows lie right behind the links': half as many kernels, none of
// them short.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "layers/gated_block.h"
#include "layers/personaliser.h"

namespace lime {

class XorBlock {
 public:
  XorBlock(ParameterStore&, const std::string& name, int64_t width, int64_t heads, int64_t links, bool last);

  // links, links_out: B*links x d; tokens, tokens_out: T x d (tokens_out empty in the last block).
  void forward(Context&, const Jagged& history, const HistoryParts&, const ConstView& links,
               const ConstView& tokens, View links_out, View tokens_out);
  // In place: gradients of the outputs in, of the inputs out; in the last block dtokens is overwritten.
  void backward(Context&, View dlinks, View dtokens);
  double forward_flops(int64_t requests, int64_t history_tokens) const;

 private:
  GatedBlock block_;
  int64_t heads_, links_;
  bool last_;
  XorAttentionTile tile_from(int64_t first) const { return {heads_, links_, history_, first, parts_.whole}; }

  Jagged history_;
  HistoryParts parts_;
  GatedBlock::Rows link_rows_, token_rows_;
  GatedBlock::Rows both_;  // of which those are parts, where they are gone over as one matrix
};

class XorStack final : public Personaliser {
 public:
  XorStack(ParameterStore&, const std::string& name, int64_t width, int64_t heads, int64_t links,
           int64_t blocks);

  void forward(Context&, const ConstView& lc, const ConstView& tokens, const Jagged& history,
               const HistoryParts&, View lp) override;
  void backward(Context&, View dlinks, View dtokens) override;
  double forward_flops(int64_t requests, int64_t history_tokens) const override;

 private:
  std::vector<std::unique_ptr<XorBlock>> blocks_;
};

}  // namespace lime
