// Clipping by the global norm: one thread.
#include "layers/cuda_kernels.h"
#include "runtime/cuda_kernel.h"
#include "runtime/cuda_kernel_math.h"

namespace lime::cuda {

namespace {

__global__ void clip_scale_kernel(const double* squares, double max_norm, double* scale) {
  const double norm = square_root(*squares), good = (norm - norm) + (*scale - *scale);  // 0, or NaN
  *scale = max_norm > 0 && norm > max_norm ? max_norm / norm + good : 1 + good;
}

}  // namespace

void clip_scale(Context& ctx, const ConstView& squares, double max_norm, View scale) {
  launch(ctx, "clip_scale", clip_scale_kernel, dim3(1), dim3(1), 0, squares.data<double>(), max_norm,
         scale.data<double>());
}

}  // namespace lime::cuda
