// Fused row operations of the XOR block: each takes the place of several primitives and one or more passes
// over memory.
//
// All views are r x c of one type, any row stride. What is said to be kept is not read again before backward,
// so the CPU writes it past its caches, which then hold the tile being worked on. A device has no such cache:
// there, what a pass over memory can save is kept, and what arithmetic can save is made again. Rows are
// independent; sums over rows run in row order.
#pragma once

#include "runtime/context.h"

namespace lime {

// a = SiLU(z + bias);  kept = z.  a or kept may be z; where kept is, a is all that is written.
void bias_silu_keep(Context&, const ConstView& bias /*1 x c*/, const ConstView& z, View kept, View a);
// Of what was kept: a = SiLU(z + bias);  slope = SiLU'(z + bias). CPU only: a device keeps a.
void silu_with_slope(Context&, const ConstView& bias /*1 x c*/, const ConstView& z, View a, View slope);
// dz = dz . SiLU'(z + bias);  dbias += column sums of dz. On the CPU the slope is that of silu_with_slope,
// which its caches still have; a device makes it again of z, and `slope` is not looked at.
void multiply_slope(Context&, const ConstView& bias /*1 x c*/, const ConstView& z, const ConstView& slope,
                    View dz, View dbias /*1 x c*/);

// y = (x - mean) rstd gain + bias: LayerNorm's output again, from the statistics (r x 1) that it kept.
void normalise(Context&, const ConstView& gain, const ConstView& bias /*1 x c*/, const ConstView& mean,
               const ConstView& rstd, const ConstView& x, View y);

// y = (LN(x) . u), LN with gain and bias (1 x c); mean and rstd (r x 1) are kept for backward.
struct GatedNorm {
  ConstView gain, bias;
  double eps;
  View mean, rstd;
};
void gated_norm(Context&, const GatedNorm&, const ConstView& x, const ConstView& u, View y);
// du and dx overwritten (dx may be dy); dgain and dbias (1 x c) accumulated. y is made again, or empty where
// it was kept.
void gated_norm_backward(Context&, const GatedNorm&, const ConstView& x, const ConstView& u,
                         const ConstView& dy, View y, View du, View dx, View dgain, View dbias);

// kept = x + y + bias: the residual at the end of a block.
void add_residual(Context&, const ConstView& x, const ConstView& y, const ConstView& bias /*1 x c*/,
                  View kept);

}  // namespace lime
