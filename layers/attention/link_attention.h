// Link attention: softmax attention of the links over the history, in one pass over it.
//
// For request b, link i, head h:   out_i = sum_j p_ij v_j,   p_ij = softmax over j of (q_i . k_j / sqrt(d_h))
// Computed online (Milakov & Gimelshein, arXiv 1805.02867): a running maximum m, sum s = sum_j exp(x_ij - m)
// and weighted sum out, rescaled whenever m grows; so any logits are safe, and the history is read once, tile
// by tile. Scores are recomputed in backward from the log-sum-exp (Dao et al., FlashAttention, arXiv
// 2205.14135).
//
//   k, v          R x d               history rows [first, first + R) of the batch, parts of one or more
//   requests q, out        B*links x d         request b's rows are [b*links, (b+1)*links) state B*heads x
//   links     request b's rows are [b*heads, (b+1)*heads)
//
// An empty history gives out = 0. Fixed order of summation: same inputs and tiles, same bits.
#pragma once

#include "runtime/context.h"
#include "runtime/jagged.h"

namespace lime {

struct LinkAttention {
  int64_t heads, links;
  Jagged history;
};
struct LinkAttentionState {
  View maximum;  // after finish(): log-sum-exp
  View sum;      // in backward: sum over columns of dout * out, a head
};

// Before the first tile: out = 0, sum = 0, maximum = the lowest finite number.
void link_attention_begin(Context&, const LinkAttention&, const LinkAttentionState&, View out);
void link_attention_tile(Context&, const LinkAttention&, int64_t first, const ConstView& q,
                         const ConstView& k, const ConstView& v, const LinkAttentionState&, View out);
// After the last tile, where a rank has a part of each history only (history_parts.h): sum and out for
// `maximum`, at least the state's, which it takes the place of. So the parts' sums and outs can be added.
void link_attention_rescale(Context&, const LinkAttention&, const ConstView& maximum,
                            const LinkAttentionState&, View out);
// After the last: out /= sum.
void link_attention_finish(Context&, const LinkAttention&, const LinkAttentionState&, View out);

// Before the first tile of backward.
void link_attention_backward_begin(Context&, const LinkAttention&, const ConstView& out,
                                   const ConstView& dout, const LinkAttentionState&);
// dk, dv of the tile are overwritten, dq accumulated.
void link_attention_backward_tile(Context&, const LinkAttention&, int64_t first, const ConstView& q,
                                  const ConstView& k, const ConstView& v, const ConstView& dout,
                                  const LinkAttentionState&, View dq, View dk, View dv);

}  // namespace lime
