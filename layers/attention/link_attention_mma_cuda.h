// Link attention of bf16 rows with tensor cores: what the host calls, in place of the kernels of
// link_attention_cuda.cu.
//
// Taken are heads of 32, 64 or 128 columns, a multiple of 16 links up to 128, and rows that begin at
// multiples of 16 bytes. For others these return false and do nothing.
#pragma once

#include "layers/attention/link_attention.h"

namespace lime::cuda {

bool link_attention_mma(Context&, const LinkAttention&, int64_t first, const ConstView& q, const ConstView& k,
                        const ConstView& v, const LinkAttentionState&, const View& out);
bool link_attention_backward_mma(Context&, const LinkAttention&, int64_t first, const ConstView& q,
                                 const ConstView& k, const ConstView& v, const ConstView& dout,
                                 const LinkAttentionState&, const View& dq, const View& dk, const View& dv);

}  // namespace lime::cuda
