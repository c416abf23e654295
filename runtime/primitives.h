// Primitives: the dense operations that layers are made of, one contract for all devices.
//
// Every function checks shapes and types, then dispatches on the context's device and the views' dtype. `r x c` in comments
// is rows x cols. Outputs may alias an input only where said ("in place ok"). Views may have any row stride. Zero rows or
// columns are legal and do nothing.
// Types: one a call, f32 or f64. On CUDA rows may be bf16, computed with in f32; then what is not rows (biases, gains, column
// sums, their gradients, means and rstds) is f32.
// Determinism: results are a function of the inputs and shapes alone: fixed summation order, no float atomics. On CUDA the
// library chooses a product's algorithm by shape, strides and alignment: rows of a larger product may differ in the last bits.
// Waiting: on CUDA all of this is put on the context's stream; only the reduction to the host waits for it.
// CPU kernels choose the instruction set at run time (Highway dynamic dispatch): SSE4, AVX2, AVX-512, NEON.
#pragma once

#include "runtime/context.h"
#include "runtime/jagged.h"
#include "runtime/tensor.h"

namespace lime {

enum class Transpose : bool { no, yes };
// What a gradient output does with what is already there.
enum class GradMode : bool { overwrite, accumulate };

// c = alpha * op(a) op(b) + beta * c. beta = 0 ignores what c held (NaN included). Of bf16 a and b, c may be bf16 or f32;
// f32 rounds its inputs to TF32 where the context allows that (Context::allow_tf32).
// On the CPU a row of c has the same bits in every product of at most most_rows_alike rows, whatever their number.
inline constexpr int64_t most_rows_alike = 512;
void gemm(Context&, Transpose ta, Transpose tb, double alpha, const ConstView& a, const ConstView& b, double beta, View c);
// Whether the CPU's products of f32 go to its tile unit (AMX), which rounds differently: docs/adr/0009.
bool cpu_gemm_uses_amx();

// --- elementwise, all r x c -----------------------------------------------------------------------------------------
void fill(Context&, View x, double value);
void copy(Context&, const ConstView& x, View y);                       // y = x; f32, f64 and bf16 convert
// ... or between the host and the context's CUDA device, of one type: what is copied to the host may be read after
// Context::synchronize(); host memory that is copied from may be changed when copy() returns unless it is pinned.
void add(Context&, const ConstView& x, View y);                        // y += x
void scale(Context&, double alpha, View x);                            // x *= alpha
void multiply(Context&, const ConstView& a, const ConstView& b, View y);                      // y = a . b, in place ok
void multiply_add(Context&, const ConstView& a, const ConstView& b, View y);                  // y += a . b
void silu(Context&, const ConstView& x, View y);                       // y = x sigmoid(x), in place ok
// dx = dy * silu'(x), from the pre-activation x; in place ok (dx may be dy)
void silu_backward(Context&, const ConstView& x, const ConstView& dy, View dx);

// --- rows and columns -----------------------------------------------------------------------------------------------
void add_bias(Context&, const ConstView& bias /*1 x c*/, View y /*r x c*/);                    // y[i,:] += bias
// z = z + bias and y = silu(z): the epilogue of a linear layer, one pass. y may be z's twin in scratch.
void bias_silu(Context&, const ConstView& bias /*1 x c*/, View z /*r x c*/, View y /*r x c*/);
void column_sum(Context&, const ConstView& x /*r x c*/, GradMode, View sum /*1 x c*/);
void softmax_rows(Context&, View x);                                   // in place, max-subtracted
// dx = y . (dy - sum(dy . y)), row by row; in place ok (dx may be dy)
void softmax_rows_backward(Context&, const ConstView& y, const ConstView& dy, View dx);

// y = (x - mean) * rstd * gain + bias over each row; mean and rstd (r x 1) are kept for backward. eps inside the root.
void layer_norm(Context&, const ConstView& x, const ConstView& gain, const ConstView& bias, double eps, View y,
                View mean, View rstd);
// dx (in place ok with dy); dgain and dbias (1 x c) summed over rows per `params` mode.
void layer_norm_backward(Context&, const ConstView& x, const ConstView& gain, const ConstView& mean,
                         const ConstView& rstd, const ConstView& dy, GradMode input, View dx, GradMode params,
                         View dgain, View dbias);

// --- jagged ---------------------------------------------------------------------------------------------------------
// y[i,:] = mean of x over segment b (zeros where the segment is empty); backward spreads dy / length.
void segment_mean(Context&, const ConstView& x /*rows x c*/, const Jagged&, View y /*segments x c*/);
void segment_mean_backward(Context&, const ConstView& dy, const Jagged&, GradMode, View dx);
// y[i,:] = x[b,:] for the rows i of segment b; backward sums the rows of each segment in order.
void repeat_rows(Context&, const ConstView& x /*segments x c*/, const Jagged&, View y /*rows x c*/);
void repeat_rows_backward(Context&, const ConstView& dy, const Jagged&, GradMode, View dx);

// --- reductions of all of a view ------------------------------------------------------------------------------------
void sum_of_squares(Context&, const ConstView& x, View sum /*1 x 1, f64*/);  // accumulated in f64, fixed order

}  // namespace lime
