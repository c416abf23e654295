// CUDA kernels of the attention operations, called after all checks by the operation of the same name, which
// has the contract.
//
// Rows are f32, f64 or bf16, computed with in f32 where they are bf16; then the state of link attention is
// f32. Where links own sums, histories are split in chunks of a length that the shapes decide, whose sums are
// added in order: same inputs and shapes, same bits.
#pragma once

#include "layers/attention/causal_attention.h"
#include "layers/attention/link_attention.h"
#include "layers/attention/target_attention.h"
#include "layers/attention/xor_attention.h"

namespace lime::cuda {

// xor_attention_cuda.cu; tensor cores where xor_attention_mma_cuda.h says so
void xor_attention(Context&, const XorAttentionTile&, bool both, const AttentionRows& history,
                   const AttentionRows& links, View history_out, View links_out);
void xor_attention_backward(Context&, const XorAttentionTile&, bool both, const AttentionRows& history,
                            const AttentionRows& links, const ConstView& dhistory_out,
                            const ConstView& dlinks_out, const AttentionRowsGrad& dhistory,
                            const AttentionRowsGrad& dlinks);

// link_attention_cuda.cu; tensor cores where link_attention_mma_cuda.h says so
void link_attention_begin(Context&, const LinkAttentionState&, View out);
void link_attention_tile(Context&, const LinkAttention&, int64_t first, const ConstView& q,
                         const ConstView& k, const ConstView& v, const LinkAttentionState&, View out);
void link_attention_rescale(Context&, const LinkAttention&, const ConstView& maximum,
                            const LinkAttentionState&, View out);
void link_attention_finish(Context&, const LinkAttention&, const LinkAttentionState&, View out);
void link_attention_backward_begin(Context&, const LinkAttention&, const ConstView& out,
                                   const ConstView& dout, const LinkAttentionState&);
void link_attention_backward_tile(Context&, const LinkAttention&, int64_t first, const ConstView& q,
                                  const ConstView& k, const ConstView& v, const ConstView& dout,
                                  const LinkAttentionState&, View dq, View dk, View dv);

// causal_attention_cuda.cu and target_attention_cuda.cu; tensor cores where query_attention_mma_cuda.h says
// so
void causal_attention(Context&, const CausalAttention&, const AttentionRows& history,
                      const AttentionRows& candidates, View history_out, View candidates_out);
void causal_attention_backward(Context&, const CausalAttention&, const AttentionRows& history,
                               const AttentionRows& candidates, const ConstView& dhistory_out,
                               const ConstView& dcandidates_out, const AttentionRowsGrad& dhistory,
                               const AttentionRowsGrad& dcandidates);
void target_attention(Context&, const TargetAttention&, const ConstView& q, const ConstView& k,
                      const ConstView& v, View out, View lse);
void target_attention_backward(Context&, const TargetAttention&, const ConstView& q, const ConstView& k,
                               const ConstView& v, const ConstView& out, const ConstView& lse,
                               const ConstView& dout, View dq, View dk, View dv);

}  // namespace lime::cuda
