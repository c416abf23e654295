// Target attention: every candidate reads its request's history by softmax.
//
// For candidate c of a request with history rows j, each head (a slice of d_h columns):
//   out_c = sum_j p_cj v_j,   p_cj = softmax over j of (q_c . k_j / sqrt(d_h));   0 for an empty history
// Computed online over blocks of keys (Milakov & Gimelshein, arXiv 1805.02867), recomputed in backward from
// the log-sum-exp (Dao et al., FlashAttention, arXiv 2205.14135): no C x N matrix, safe for any logits.
//
//   q, out   C x d   candidates' rows      k, v   T x d   history rows      lse   C x heads, of the
//   parameters' type
//
// Cost O(N d) a candidate. Sums run over keys in fixed blocks in order: same inputs, same bits.
#pragma once

#include "runtime/context.h"
#include "runtime/jagged.h"

namespace lime {

struct TargetAttention {
  int64_t heads;
  Jagged history, candidates;  // as many segments each
};

// out and lse are overwritten.
void target_attention(Context&, const TargetAttention&, const ConstView& q, const ConstView& k,
                      const ConstView& v, View out, View lse);
// dq, dk and dv are overwritten.
void target_attention_backward(Context&, const TargetAttention&, const ConstView& q, const ConstView& k,
                               const ConstView& v, const ConstView& out, const ConstView& lse,
                               const ConstView& dout, View dq, View dk, View dv);

}  // namespace lime
