// CPU kernels of this folder, called after all checks by the operation of the same name, which has the contract.
#pragma once

#include "layers/link_attention.h"
#include "layers/xor_attention.h"

namespace lime::cpu {

void add_positions(const ConstView& table, const Jagged& history, int64_t first, View tokens);
void add_positions_backward(const ConstView& dtokens, const Jagged& history, View dtable);

void xor_attention(Context&, const XorAttentionTile&, bool both, const AttentionRows& history,
                   const AttentionRows& links, View history_out, View links_out);
void xor_attention_backward(Context&, const XorAttentionTile&, bool both, const AttentionRows& history,
                            const AttentionRows& links, const ConstView& dhistory_out, const ConstView& dlinks_out,
                            const AttentionRowsGrad& dhistory, const AttentionRowsGrad& dlinks);

void link_attention_begin(const LinkAttentionState&, View out);
void link_attention_tile(Context&, const LinkAttention&, int64_t first, const ConstView& q, const ConstView& k,
                         const ConstView& v, const LinkAttentionState&, View out);
void link_attention_finish(const LinkAttention&, const LinkAttentionState&, View out);
void link_attention_backward_begin(const LinkAttention&, const ConstView& out, const ConstView& dout,
                                   const LinkAttentionState&);
void link_attention_backward_tile(Context&, const LinkAttention&, int64_t first, const ConstView& q,
                                  const ConstView& k, const ConstView& v, const ConstView& dout,
                                  const LinkAttentionState&, View dq, View dk, View dv);

}  // namespace lime::cpu
