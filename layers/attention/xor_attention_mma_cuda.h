// XOR attention of bf16 rows with tensor cores: what the host calls. The kernel is in
// sums_mma_cuda.h.
//
// Taken are heads of 32, 64 or 128 columns, a multiple of 16 links up to 128, and rows that begin at
// multiples of 16 bytes. For others these return false and do nothing.
#pragma once

#include "layers/attention/xor_attention.h"

namespace lime::cuda {

bool xor_attention_mma(Context&, const XorAttentionTile&, bool both, const AttentionRows& history,
                       const AttentionRows& links, const View& history_out, const View& links_out);
bool xor_attention_backward_mma(Context&, const XorAttentionTile&, bool both, const AttentionRows& history,
                                const AttentionRows& links, const ConstView& dhistory_out,
                                const ConstView& dlinks_out, const AttentionRowsGrad& dhistory,
                                const AttentionRowsGrad& dlinks);

}  // namespace lime::cuda
