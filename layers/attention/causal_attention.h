// Causal attention with targets: HSTU's attention (Zhai et al., "Actions speak louder than words", arXiv
// 2402.17152) over a request's history, which its candidates read too.
//
// For request b with N history rows, each head (a slice of d_h columns), a(x) = SiLU(x / sqrt(d_h)) / (N +
// 1):
//   history row i:  out_i = sum_{j <= i} a(q_i . k_j) v_j
//   candidate c:    out_c = sum_{j < N} a(q_c . k_j) v_j + a(q_c . k_c) v_c      never another candidate
//
//   history    q, k, v, out   T x d       request b's rows are [history.begin(b), history.end(b)), oldest
//   first candidates q, k, v, out   C x d       likewise by `candidates`
//
// The last block of a stack needs no history update: then history q and out are empty views and only the
// second line is computed, at cost O(N d) a candidate; else O(N^2 d) a request besides. Blocks of keys stay
// in cache while queries go by: no N x N matrix, anywhere. Sums run over keys in fixed blocks in order: same
// inputs, same bits. Scores are recomputed in backward.
#pragma once

#include "layers/attention/xor_attention.h"  // AttentionRows
#include "runtime/context.h"
#include "runtime/jagged.h"

namespace lime {

struct CausalAttention {
  int64_t heads;
  Jagged history, candidates;  // as many segments each
};

// Outputs are overwritten.
void causal_attention(Context&, const CausalAttention&, const AttentionRows& history,
                      const AttentionRows& candidates, View history_out, View candidates_out);

// Gradients of q, k, v are overwritten; that of an empty view is empty.
void causal_attention_backward(Context&, const CausalAttention&, const AttentionRows& history,
                               const AttentionRows& candidates, const ConstView& dhistory_out,
                               const ConstView& dcandidates_out, const AttentionRowsGrad& dhistory,
                               const AttentionRowsGrad& dcandidates);

// Forward, multiply-adds counted as two; what the mask leaves out is not counted.
double causal_attention_flops(const CausalAttention&, int64_t width, bool history_updated);

}  // namespace lime
