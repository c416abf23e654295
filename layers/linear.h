// Linear layers: y = x W + b, W [in, out], b [1, out].
//
// A layer whose input is a concatenation [x1 ; x2] is computed as x1 W[rows 1] + x2 W[rows 2], so that the
// concatenation is never built and a part with fewer rows (the user, one row a request) is multiplied once.
// Likewise one weight holds several projections side by side, and some rows need only some of its columns.
// LinearPart is such a block of a weight. Gradients of parameters are always accumulated: the model zeroes
// them once at the start of backward.
#pragma once

#include <span>
#include <string>

#include "layers/parameter.h"
#include "runtime/context.h"
#include "runtime/primitives.h"

namespace lime {

// The values in the type of rows, which products take: x itself where it has that type, else a copy in the
// arena.
ConstView in_row_type(Context&, const ConstView& x);

struct LinearPart {
  ConstView weight;  // in x out, a block of the layer's
  ConstView bias;    // 1 x out; empty if the layer has none
  View dweight, dbias;
  ConstView bias_in_rows;  // the bias in rows' type

  // y (r x out) = x (r x in) weight + bias
  void forward(Context&, const ConstView& x, View y) const;
  // y (r x out) = or += x (r x in) weight, without bias. y may be of the parameters' type, as logits are.
  void multiply(Context&, const ConstView& x, GradMode, View y) const;
  void add_bias(Context&, View y) const;
  // y (r x out) = onto (r x out) + x weight + bias, in one product; false where there is none, and nothing is
  // done.
  bool forward_onto(Context&, const ConstView& onto, const ConstView& x, View y) const;
  // dweight += x^T dy; dbias += column sums of dy
  void backward_parameters(Context&, const ConstView& x, const ConstView& dy) const;
  // dweight += x^T dy; dbias is not touched
  void backward_weight(Context&, const ConstView& x, const ConstView& dy) const;
  // dbias += column sums of dy
  void backward_bias(Context&, const ConstView& dy) const;
  // dx = or += dy weight^T. dx may be of the parameters' type, as gradients of links are.
  void backward_input(Context&, const ConstView& dy, GradMode, View dx) const;
};

class Linear {
 public:
  // Registers NAME.weight and, with bias, NAME.bias.
  Linear(ParameterStore&, const std::string& name, int64_t in, int64_t out, bool bias = true,
         Init weight = Init::fan_in);

  int64_t in() const { return weight_.rows; }
  int64_t out() const { return weight_.cols; }
  LinearPart all() const { return part(0, in(), 0, out()); }
  LinearPart rows(int64_t begin, int64_t end) const { return part(begin, end, 0, out()); }
  LinearPart cols(int64_t begin, int64_t end) const { return part(0, in(), begin, end); }

  void forward(Context&, const ConstView& x /*r x in*/, View y /*r x out*/) const;
  void backward(Context&, const ConstView& x, const ConstView& dy, GradMode input, View dx) const;
  void ready() const;                                // the gradients are final
  void set_bias(Context&, std::span<const double>);  // of a layer that has one

 private:
  LinearPart part(int64_t r0, int64_t r1, int64_t c0, int64_t c1) const;

  ParameterStore& store_;
  Parameter& weight_;
  Parameter* bias_ = nullptr;
};

}  // namespace lime
