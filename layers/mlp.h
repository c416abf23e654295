// Mlp: two linear layers with SiLU between, y = SiLU(x W1 + b1) W2 + b2.
//
// The input may be a concatenation of parts with different numbers of rows: the owner then sums the hidden
// layer's pre-activations itself, one add_part() a part, and expands rows between (see ScoreHead and
// LinkContext). Saved views live in the context's arena from forward to backward; a layer is used once
// between them.
#pragma once

#include <string>

#include "layers/linear.h"

namespace lime {

class Mlp {
 public:
  // Registers NAME.hidden.* and NAME.out.*
  Mlp(ParameterStore&, const std::string& name, int64_t in, int64_t hidden, int64_t out,
      Init out_weight = Init::fan_in);
  int64_t hidden() const { return hidden_.out(); }

  // Whole input at once: x r x in, y r x out.
  void forward(Context&, const ConstView& x, View y);
  void backward(Context&, const ConstView& dy, GradMode input, View dx);

  // By parts: z (r x hidden) = or += x (r x n) W1[first_row : first_row + n].
  void add_part(Context&, int64_t first_row, const ConstView& x, GradMode, View z) const;
  // From the complete sum z, which becomes the pre-activation (bias added in place) and must stay until
  // backward.
  void finish(Context&, View z, View y);
  // dz (r x hidden), overwritten: the gradient of the sum. Parameters but the hidden weight are done.
  void finish_backward(Context&, const ConstView& dy, View dz);
  // For each part: accumulates W1's gradient; dx = or += dz W1[part]^T.
  void add_part_backward(Context&, int64_t first_row, const ConstView& x, const ConstView& dz, GradMode,
                         View dx) const;
  void ready() const;

  // The layers themselves, for who multiplies them out ahead (cached_scoring.h).
  const Linear& hidden_layer() const { return hidden_; }
  const Linear& out_layer() const { return out_; }
  Linear& out_layer() { return out_; }

  double forward_flops(int64_t rows) const;

 private:
  Linear hidden_, out_;
  ConstView x_;
  View z_, activated_;
};

}  // namespace lime
