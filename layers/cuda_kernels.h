// CUDA kernels of this folder but those of attention (cuda_kernels_attention.h), called after all checks by
// the operation of the same name, which has the contract.
#pragma once

#include <span>

#include "layers/adamw.h"
#include "layers/fused.h"
#include "layers/item_rows.h"
#include "runtime/jagged.h"

namespace lime::cuda {

void bias_silu_keep(Context&, const ConstView& bias, const ConstView& z, View kept, View a);
void multiply_slope(Context&, const ConstView& bias, const ConstView& z, View dz, View dbias);
void normalise(Context&, const ConstView& gain, const ConstView& bias, const ConstView& mean,
               const ConstView& rstd, const ConstView& x, View y);
void gated_norm(Context&, const GatedNorm&, const ConstView& x, const ConstView& u, View y);
void gated_norm_backward(Context&, const GatedNorm&, const ConstView& x, const ConstView& u,
                         const ConstView& dy, View y, View du, View dx, View dgain, View dbias);
void add_residual(Context&, const ConstView& x, const ConstView& y, const ConstView& bias, View kept);

void add_positions(Context&, const ConstView& table, const Jagged& history, const Jagged& later,
                   int64_t first, View tokens);
void add_positions_backward(Context&, const ConstView& dtokens, const Jagged& history, const Jagged& later,
                            int64_t first, View dtable);

void last_rows(Context&, const ConstView& x, const Jagged& of_x, const Jagged& of_y, View y);
void last_rows_backward(Context&, const ConstView& dy, const Jagged& of_x, const Jagged& of_y, View dx);

void add_request_rows(Context&, const ConstView& links, const ConstView& requests, View y);
void add_links(Context&, const ConstView& links, View y);
void sum_over_requests(Context&, const ConstView& dy, View dlinks);
void sum_over_links(Context&, const ConstView& dy, View drequests);

void mix_links(Context&, int64_t heads, const ConstView& p, const ConstView& values,
               const Jagged& impressions, View y);
void mix_links_backward(Context&, int64_t heads, const ConstView& p, const ConstView& values,
                        const Jagged& impressions, const ConstView& dy, View dp, View dvalues);

void decode_rows(Context&, const ItemRows&, std::span<const int32_t> chosen, View out);
void score_rows(Context&, const ItemRows&, std::span<const int32_t> chosen, const RequestShare&,
                const ScoreTail&, View logits);

void bce_with_logits(Context&, const ConstView& logits, const ConstView& labels, const ConstView& weights,
                     View dlogits, View loss);
void sigmoid(Context&, const ConstView& logits, View p);

void adamw(Context&, const AdamWStep&, const ConstView& decays, const ConstView& grad, View m, View v,
           View w);
void clip_scale(Context&, const ConstView& squares, double max_norm, View scale);

}  // namespace lime::cuda
