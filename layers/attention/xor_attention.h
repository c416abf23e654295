// XOR attention: links read the history, history rows read the links, and no other pair exists.
//
// With link rows i of request b and history rows j of the same request, for each head (a slice of d_h
// columns):
//   links:    out_i += 1/N_b   sum_j SiLU(q_i . k_j / sqrt(d_h)) v_j       over all N_b history rows of the
//   request history:  out_j  = 1/links sum_i SiLU(q_j . k_i / sqrt(d_h)) v_i
// (Jiang et al., "LIME", arXiv 2510.18239; SiLU attention of HSTU, arXiv 2402.17152.)
//
// Works on a tile of history rows [first, first + R), which may cover parts of several requests, so that a
// caller can run tile by tile over activations that are still in cache; one read of each history row serves
// both directions.
//
//   history q, k, v, out   R x d          rows of the tile
//   links   q, k, v, out   B*links x d    all requests; request b's rows are [b*links, (b+1)*links)
//
// Where a rank has a part of each history only (history_parts.h), N_b is the length of the whole one, and the
// sums over the parts of out_i, and of dq_i from the same dout_i, are those over the whole.
//
// The last block needs no history update: then history q and out, links k and v are empty views, and only the
// first line is computed. Sums over the history run in row order in fixed chunks: same inputs and tiles, same
// bits. Scores are recomputed in backward, never stored. Cost O(links * d) a history row.
#pragma once

#include "runtime/context.h"
#include "runtime/jagged.h"

namespace lime {

struct AttentionRows {
  ConstView q, k, v;
};
struct AttentionRowsGrad {
  View q, k, v;
};
// Which rows and heads a call is about.
struct XorAttentionTile {
  int64_t heads, links;
  Jagged history;
  int64_t first;      // the tile's first row in the batch
  Jagged whole = {};  // by its lengths, the whole histories; none: `history` has them whole

  int64_t whole_length(int64_t b) const { return whole.segments() > 0 ? whole.length(b) : history.length(b); }
};

// history_out is overwritten, links_out accumulated (zero it before the first tile).
void xor_attention(Context&, const XorAttentionTile&, const AttentionRows& history,
                   const AttentionRows& links, View history_out, View links_out);

// dhistory is overwritten, dlinks accumulated. Gradients of empty views are empty.
void xor_attention_backward(Context&, const XorAttentionTile&, const AttentionRows& history,
                            const AttentionRows& links, const ConstView& dhistory_out,
                            const ConstView& dlinks_out, const AttentionRowsGrad& dhistory,
                            const AttentionRowsGrad& dlinks);

// Forward, multiply-adds counted as two.
double xor_attention_flops(int64_t history_rows, int64_t links, int64_t width, bool both_directions);

}  // namespace lime
