// CPU kernels of this folder, called after all checks by the operation of the same name, which has the
// contract.
#pragma once

#include <span>

#include "layers/attention/causal_attention.h"
#include "layers/attention/link_attention.h"
#include "layers/attention/target_attention.h"
#include "layers/attention/xor_attention.h"
#include "layers/fused.h"
#include "layers/item_rows.h"

namespace lime::cpu {

void bias_silu_keep(const ConstView& bias, const ConstView& z, View kept, View a);
void silu_with_slope(const ConstView& bias, const ConstView& z, View a, View slope);
void multiply_slope(const ConstView& slope, View dz, View dbias);
void normalise(const ConstView& gain, const ConstView& bias, const ConstView& mean, const ConstView& rstd,
               const ConstView& x, View y);
void gated_norm(const GatedNorm&, const ConstView& x, const ConstView& u, View y);
void gated_norm_backward(const GatedNorm&, const ConstView& x, const ConstView& u, const ConstView& dy,
                         View y, View du, View dx, View dgain, View dbias);
void add_residual(const ConstView& x, const ConstView& y, const ConstView& bias, View kept);

void add_positions(const ConstView& table, const Jagged& history, const Jagged& later, int64_t first,
                   View tokens);
void add_positions_backward(const ConstView& dtokens, const Jagged& history, const Jagged& later,
                            int64_t first, View dtable);

void xor_attention(Context&, const XorAttentionTile&, bool both, const AttentionRows& history,
                   const AttentionRows& links, View history_out, View links_out);
void xor_attention_backward(Context&, const XorAttentionTile&, bool both, const AttentionRows& history,
                            const AttentionRows& links, const ConstView& dhistory_out,
                            const ConstView& dlinks_out, const AttentionRowsGrad& dhistory,
                            const AttentionRowsGrad& dlinks);

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

void encode_rows(const ConstView& rows, int64_t weights, RowType, void* values, float* scales);
void decode_rows(const ItemRows&, std::span<const int32_t> chosen, View out);
void score_rows(Context&, const ItemRows&, std::span<const int32_t> chosen, const RequestShare&,
                const ScoreTail&, View logits);

void link_attention_begin(const LinkAttentionState&, View out);
void link_attention_tile(Context&, const LinkAttention&, int64_t first, const ConstView& q,
                         const ConstView& k, const ConstView& v, const LinkAttentionState&, View out);
void link_attention_rescale(const LinkAttention&, const ConstView& maximum, const LinkAttentionState&,
                            View out);
void link_attention_finish(const LinkAttention&, const LinkAttentionState&, View out);
void link_attention_backward_begin(const LinkAttention&, const ConstView& out, const ConstView& dout,
                                   const LinkAttentionState&);
void link_attention_backward_tile(Context&, const LinkAttention&, int64_t first, const ConstView& q,
                                  const ConstView& k, const ConstView& v, const ConstView& dout,
                                  const LinkAttentionState&, View dq, View dk, View dv);

}  // namespace lime::cpu
