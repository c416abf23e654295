// The row-wise part of an HSTU-style block, all but its attention: what XOR blocks and causal blocks share.
//
//   [U|Q|K|V] = SiLU(LN_in(X) W + b)                      W: d x 4d
//   X        += (LN_av(A V) . U) W_o + b_o                A V: the attention's, from Q, K, V
//
// Rows come in kinds (links, history, candidates) that may need a part of the columns only: keys and values
// for rows that are read but not updated. Kept for backward, a row: LN_in(X) W (4d), A V (d) and two
// LayerNorm statistics. The CPU recomputes the rest. A device keeps it, 6d more: a pass over memory is what
// it would cost to make any of it again. All functions work on any slice of rows, so that callers can go
// through in tiles that stay in cache.
#pragma once

#include <string>

#include "layers/attention/xor_attention.h"
#include "layers/fused.h"
#include "layers/layer_norm.h"
#include "layers/linear.h"

namespace lime {

class GatedBlock {
 public:
  // out: of W_o. From zeros the block begins as identity.
  GatedBlock(ParameterStore&, const std::string& name, int64_t width, Init out);

  // Rows of one kind and what they keep for backward.
  struct Rows {
    int64_t first_column = 0, columns = 0;  // of [U|Q|K|V], in units of d
    ConstView x;                            // r x d
    View z;                                 // r x columns*d, LN_in(x) W: without the bias
    View av;                                // r x d
    LayerNormStats in, out;
    View a, normed, gated;  // on devices: [U|Q|K|V] as far as it goes, LN_in(x), LN_av(av) . U
    Rows slice(int64_t begin, int64_t end) const;
  };
  Rows make_rows(Context&, int64_t first_column, int64_t columns, const ConstView& x, bool updated) const;

  // One of U, Q, K, V (0..3) out of r x columns*d; empty if these rows do not have it.
  View column(const Rows&, const View& a, int64_t which) const;
  AttentionRows attention_rows(const Rows&, const View& a) const;
  AttentionRowsGrad attention_grads(const Rows&, const View& da) const;

  // Where the rows' columns of [U|Q|K|V] go: what they keep for backward, or memory of the moment.
  View activations(Context&, const Rows&) const;
  void project(Context&, const Rows&, View a) const;                    // a = SiLU(z + b), z from x
  void update(Context&, const Rows&, const View& a, View x_out) const;  // x_out = x + (LN(av) . U) W_o + b_o
  // For backward: a again, and SiLU'(z + b) where multiply_slope wants it.
  struct Recalled {
    View a, slope;
    Recalled slice(int64_t begin, int64_t end) const;
  };
  Recalled recall(Context&, const Rows&) const;
  // From dx_out: U's columns of da, and dav; overwritten.
  void update_backward(Context&, const Rows&, const View& a, const ConstView& dx_out, View da,
                       View dav) const;
  // Destroys da, and what the rows keep.
  void project_backward(Context&, const Rows&, const ConstView& slope, View da, GradMode, View dx) const;
  // After the last backward: all parameters' gradients are final.
  void ready() const;

  int64_t width() const { return width_; }

 private:
  LinearPart projection(const Rows&) const;
  GatedNorm gated(const Rows&) const;

  int64_t width_;
  LayerNorm norm_in_;
  Linear uqkv_;
  LayerNorm norm_av_;
  Linear out_;
};

}  // namespace lime
