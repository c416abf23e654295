// LayerNorm over the columns of each row: y = (x - mean) / sqrt(variance + eps) * gain + bias, eps = 1e-5.
#pragma once

#include <string>

#include "layers/parameter.h"
#include "runtime/context.h"
#include "runtime/primitives.h"

namespace lime {

// Row statistics kept from forward for backward: r x 1 each, of the parameters' type.
struct LayerNormStats {
  View mean, rstd;
  static LayerNormStats alloc(Context& ctx, int64_t rows) {
    return {ctx.alloc_parameter(rows, 1), ctx.alloc_parameter(rows, 1)};
  }
  LayerNormStats slice_rows(int64_t begin, int64_t end) const {
    return {mean.slice_rows(begin, end), rstd.slice_rows(begin, end)};
  }
};

class LayerNorm {
 public:
  static constexpr double eps = 1e-5;
  // Registers NAME.gain and NAME.bias, 1 x width.
  LayerNorm(ParameterStore&, const std::string& name, int64_t width);

  // Writes y (r x width) and the statistics.
  void forward(Context&, const ConstView& x, View y, const LayerNormStats&) const;
  // y again, from the statistics that forward wrote.
  void recompute(Context&, const ConstView& x, const LayerNormStats&, View y) const;
  // dx = or += ... (in place with dy ok where it overwrites); the parameters' gradients are accumulated.
  void backward(Context&, const ConstView& x, const LayerNormStats&, const ConstView& dy, GradMode input,
                View dx) const;
  void ready() const;
  const Parameter& gain() const { return gain_; }
  const Parameter& bias() const { return bias_; }

 private:
  ParameterStore& store_;
  Parameter &gain_, &bias_;
};

}  // namespace lime
