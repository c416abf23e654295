// The CUDA kernels behind primitives.h: the same names and arguments, called after all checks. Internal to
// runtime/.
#pragma once

#include "runtime/primitives.h"

namespace lime::cuda {

// By cuBLASLt (gemm_cuda.cc), which is emulated where the device is (emulator/cublaslt.cc). No side is
// 0.
void gemm(Context&, bool ta, bool tb, double alpha, const ConstView& a, const ConstView& b, double beta,
          View c);

// What a product does besides, as linear_products.h has it: a bias is added to the rows of c, or the column
// sums of b (a is transposed, b is not) are written. `vector` is of c's type, as long as its rows. What beta
// stands before is `onto`, of c's type and shape, or if that is empty what is in c.
struct Epilogue {
  enum class Kind { none, bias, bias_gradient };
  Kind kind = Kind::none;
  void* vector = nullptr;
  ConstView onto = {};
};
// False where the library has no such product: nothing is done then.
bool gemm_with(Context&, const Epilogue&, bool ta, bool tb, double alpha, const ConstView& a,
               const ConstView& b, double beta, View c);

// elementwise_cuda.cu
void fill(Context&, View x, double value);
void copy(Context&, const ConstView& x, View y);  // both on the device
void add(Context&, const ConstView& x, View y);
void scale(Context&, double alpha, View x);
void multiply(Context&, const ConstView& a, const ConstView& b, View y);
void multiply_add(Context&, const ConstView& a, const ConstView& b, View y);
void silu(Context&, const ConstView& x, View y);
void silu_backward(Context&, const ConstView& x, const ConstView& dy, View dx);

// rows_cuda.cu
void add_bias(Context&, const ConstView& bias, View y);
void bias_silu(Context&, const ConstView& bias, View z, View y);
void column_sum(Context&, const ConstView& x, GradMode, View sum);
void softmax_rows(Context&, View x);
void softmax_rows_backward(Context&, const ConstView& y, const ConstView& dy, View dx);

// layer_norm_cuda.cu
void layer_norm(Context&, const ConstView& x, const ConstView& gain, const ConstView& bias, double eps,
                View y, View mean, View rstd);
void layer_norm_backward(Context&, const ConstView& x, const ConstView& gain, const ConstView& mean,
                         const ConstView& rstd, const ConstView& dy, GradMode input, View dx, GradMode params,
                         View dgain, View dbias);

// jagged_cuda.cu
void segment_mean(Context&, const ConstView& x, const Jagged&, View y);
void segment_mean_backward(Context&, const ConstView& dy, const Jagged&, GradMode, View dx);
void repeat_rows(Context&, const ConstView& x, const Jagged&, View y);
void repeat_rows_backward(Context&, const ConstView& dy, const Jagged&, GradMode, View dx);

// reductions_cuda.cu
void sum_of_squares(Context&, const ConstView& x, View sum);

}  // namespace lime::cuda
