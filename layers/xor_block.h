// XOR block: an HSTU-style block on X = [links ; history] under the XOR mask, and LIME-XOR's stack of them.
//
//   [U|Q|K|V] = SiLU(LN_in(X) W + b)                      W: d x 4d
//   A V       = XOR attention (xor_attention.h)
//   X        += (LN_av(A V) . U) W_o + b_o
//
// History rows go through in tiles (Context::tile_rows) that stay in cache from the first LayerNorm to the
// residual. The last block's history rows are not updated: only their K and V are computed, from the last 2d
// columns of W; its links need only U and Q, the first 2d. Kept for backward, a row: the pre-activations
// (4d), A V (d) and two LayerNorm statistics. The rest is recomputed.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "layers/fused.h"
#include "layers/layer_norm.h"
#include "layers/linear.h"
#include "layers/personaliser.h"
#include "layers/xor_attention.h"

namespace lime {

class XorBlock {
 public:
  XorBlock(ParameterStore&, const std::string& name, int64_t width, int64_t heads, int64_t links, bool last);

  // links, links_out: B*links x d; tokens, tokens_out: T x d (tokens_out empty in the last block).
  void forward(Context&, const Jagged& history, const ConstView& links, const ConstView& tokens,
               View links_out, View tokens_out);
  // In place: gradients of the outputs in, of the inputs out; in the last block dtokens is overwritten.
  void backward(Context&, View dlinks, View dtokens);
  double forward_flops(int64_t requests, int64_t history_tokens) const;

 private:
  // Rows of one kind (all links, or the history) and what they keep for backward.
  struct Rows {
    int64_t first_column, columns;  // of [U|Q|K|V], in units of d
    ConstView x;                    // r x d
    View z;                         // r x columns*d, pre-activations
    View av;                        // r x d
    LayerNormStats in, out;
    Rows slice(int64_t begin, int64_t end) const;
  };
  // One of U, Q, K, V (0..3) out of r x columns*d; empty if these rows do not have it.
  View column(const Rows&, const View& a, int64_t which) const;
  AttentionRows attention_rows(const Rows&, const View& a) const;
  AttentionRowsGrad attention_grads(const Rows&, const View& da) const;
  LinearPart projection(const Rows&) const;
  Rows make_rows(Context&, int64_t first_column, int64_t columns, const ConstView& x, bool updated) const;

  GatedNorm gated(const Rows&) const;

  void project(Context&, const Rows&, View a) const;                    // a = SiLU(z), z from x
  void update(Context&, const Rows&, const View& a, View x_out) const;  // x_out = x + (LN(av) . U) W_o + b_o
  void update_backward(Context&, const Rows&, const View& a, const ConstView& dx_out, View da,
                       View dav) const;
  // slope: SiLU'(z). Destroys da.
  void project_backward(Context&, const Rows&, const ConstView& slope, View da, GradMode, View dx) const;

  int64_t width_, heads_, links_;
  bool last_;
  LayerNorm norm_in_;
  Linear uqkv_;
  LayerNorm norm_av_;
  Linear out_;
  Jagged history_;
  Rows link_rows_{}, token_rows_{};
};

class XorStack final : public Personaliser {
 public:
  XorStack(ParameterStore&, const std::string& name, int64_t width, int64_t heads, int64_t links,
           int64_t blocks);

  void forward(Context&, const ConstView& lc, const ConstView& tokens, const Jagged& history,
               View lp) override;
  void backward(Context&, View dlinks, View dtokens) override;
  double forward_flops(int64_t requests, int64_t history_tokens) const override;

 private:
  std::vector<std::unique_ptr<XorBlock>> blocks_;
};

}  // namespace lime
