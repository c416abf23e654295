// Causal and target attention of bf16 rows with tensor cores: what the host calls. The kernels are in
// query_attention_mma_kernel_cuda.h.
//
// Taken are heads of 32, 64 or 128 columns and rows that begin at multiples of 16 bytes. For others these
// return false and do nothing.
#pragma once

#include "layers/attention/causal_attention.h"
#include "layers/attention/target_attention.h"

namespace lime::cuda {

bool causal_attention_mma(Context&, const CausalAttention&, const AttentionRows& history,
                          const AttentionRows& candidates, const View& history_out,
                          const View& candidates_out);
bool causal_attention_backward_mma(Context&, const CausalAttention&, const AttentionRows& history,
                                   const AttentionRows& candidates, const ConstView& dhistory_out,
                                   const ConstView& dcandidates_out, const AttentionRowsGrad& dhistory,
                                   const AttentionRowsGrad& dcandidates);

bool target_attention_mma(Context&, const TargetAttention&, const ConstView& q, const ConstView& k,
                          const ConstView& v, const View& out, const View& lse);
bool target_attention_backward_mma(Context&, const TargetAttention&, const ConstView& q, const ConstView& k,
                                   const ConstView& v, const ConstView& out, const ConstView& lse,
                                   const ConstView& dout, const View& dq, const View& dk, const View& dv);

}  // namespace lime::cuda
