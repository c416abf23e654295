// LayerNorm; a warp computes a row.
#include "runtime/cuda_kernel.h"
#include "runtime/cuda_kernel_columns.h"
#include "runtime/cuda_kernel_math.h"
#include "runtime/primitives_cuda.h"

namespace lime::cuda {

namespace {

constexpr int rows_a_block = 8;

template <typename T, typename A = Compute<T>>
__global__ void layer_norm_kernel(Matrix<const T> x, const A* gain, const A* bias, A eps, Matrix<T> y,
                                  Matrix<A> mean, Matrix<A> rstd) {
  const int64_t r = int64_t{blockIdx.x} * rows_a_block + threadIdx.y;
  if (r >= x.rows) return;
  const T* row = x.row(r);
  A sum = 0, squares = 0;
  for (int64_t c = threadIdx.x; c < x.cols; c += warp_size) sum += to_compute(row[c]);
  const A m = warp_sum(sum) / static_cast<A>(x.cols);
  for (int64_t c = threadIdx.x; c < x.cols; c += warp_size) {
    const A centred = to_compute(row[c]) - m;
    squares += centred * centred;
  }
  const A s = 1 / square_root(warp_sum(squares) / static_cast<A>(x.cols) + eps);
  for (int64_t c = threadIdx.x; c < x.cols; c += warp_size)
    y.row(r)[c] = from_compute<T>(multiply_add((to_compute(row[c]) - m) * s, gain[c], bias[c]));
  if (threadIdx.x == 0) *mean.row(r) = m, *rstd.row(r) = s;
}

// With h = (x - mean) rstd and e = dy gain: dx = rstd (e - mean(e) - h mean(e h)).
template <typename T, typename A = Compute<T>>
__global__ void layer_norm_backward_kernel(Matrix<const T> x, const A* gain, Matrix<const A> mean,
                                           Matrix<const A> rstd, Matrix<const T> dy, bool accumulate,
                                           Matrix<T> dx) {
  const int64_t r = int64_t{blockIdx.x} * rows_a_block + threadIdx.y;
  if (r >= x.rows) return;
  const A m = *mean.row(r), s = *rstd.row(r);
  A sum_e = 0, sum_eh = 0;
  for (int64_t c = threadIdx.x; c < x.cols; c += warp_size) {
    const A h = (to_compute(x.row(r)[c]) - m) * s, e = to_compute(dy.row(r)[c]) * gain[c];
    sum_e += e;
    sum_eh += e * h;
  }
  const A mean_e = warp_sum(sum_e) / static_cast<A>(x.cols),
          mean_eh = warp_sum(sum_eh) / static_cast<A>(x.cols);
  for (int64_t c = threadIdx.x; c < x.cols; c += warp_size) {
    const A h = (to_compute(x.row(r)[c]) - m) * s, e = to_compute(dy.row(r)[c]) * gain[c];
    const A d = s * (e - mean_e - h * mean_eh);
    dx.row(r)[c] = from_compute<T>(accumulate ? to_compute(dx.row(r)[c]) + d : d);
  }
}

// dgain += dy h, dbias += dy.
template <typename T, typename A = Compute<T>>
struct ParameterGradients {
  Matrix<const T> x, dy;
  Matrix<const A> mean, rstd;
  __device__ void operator()(int64_t r, int64_t c, A (&sum)[2]) const {
    const A d = to_compute(dy.row(r)[c]);
    sum[0] += d * ((to_compute(x.row(r)[c]) - *mean.row(r)) * *rstd.row(r));
    sum[1] += d;
  }
};

}  // namespace

void layer_norm(Context& ctx, const ConstView& x, const ConstView& gain, const ConstView& bias, double eps,
                View y, View mean, View rstd) {
  with_row_type(x.dtype(), [&]<typename T>(T) {
    using A = Compute<T>;
    launch(ctx, "layer_norm", layer_norm_kernel<T>, dim3(divide_up(x.rows(), rows_a_block)),
           dim3(warp_size, rows_a_block), 0, matrix<const T>(x), gain.data<A>(), bias.data<A>(),
           static_cast<A>(eps), matrix<T>(y), matrix<A>(mean), matrix<A>(rstd));
  });
}

void layer_norm_backward(Context& ctx, const ConstView& x, const ConstView& gain, const ConstView& mean,
                         const ConstView& rstd, const ConstView& dy, GradMode input, View dx, GradMode params,
                         View dgain, View dbias) {
  with_row_type(x.dtype(), [&]<typename T>(T) {
    using A = Compute<T>;
    // First the parameters: dx may be dy.
    column_sums<2, A>(ctx, "layer_norm_backward",
                      ParameterGradients<T>{matrix<const T>(x), matrix<const T>(dy), matrix<const A>(mean),
                                            matrix<const A>(rstd)},
                      x.rows(), x.cols(), params == GradMode::accumulate, {dgain.data<A>(), dbias.data<A>()});
    launch(ctx, "layer_norm_backward", layer_norm_backward_kernel<T>, dim3(divide_up(x.rows(), rows_a_block)),
           dim3(warp_size, rows_a_block), 0, matrix<const T>(x), gain.data<A>(), matrix<const A>(mean),
           matrix<const A>(rstd), matrix<const T>(dy), input == GradMode::accumulate, matrix<T>(dx));
  });
}

}  // namespace lime::cuda
