// Primitives over rows and columns; a warp computes a row.
#include "runtime/cuda_kernel.h"
#include "runtime/cuda_kernel_columns.h"
#include "runtime/cuda_kernel_math.h"
#include "runtime/primitives_cuda.h"

namespace lime::cuda {

namespace {

constexpr int rows_a_block = 8;

// The row of this warp, or one past the last.
__device__ int64_t row_of_warp() { return int64_t{blockIdx.x} * rows_a_block + threadIdx.y; }

template <typename Kernel, typename... Arguments>
void launch_rows(Context& ctx, const char* name, int64_t rows, Kernel kernel, Arguments... arguments) {
  launch(ctx, name, kernel, dim3(divide_up(rows, rows_a_block)), dim3(warp_size, rows_a_block), 0,
         arguments...);
}

template <typename T>
__global__ void add_bias_kernel(const Compute<T>* bias, Matrix<T> y) {
  const int64_t r = row_of_warp();
  if (r >= y.rows) return;
  for (int64_t c = threadIdx.x; c < y.cols; c += warp_size)
    y.row(r)[c] = from_compute<T>(to_compute(y.row(r)[c]) + bias[c]);
}

template <typename T>
__global__ void bias_silu_kernel(const Compute<T>* bias, Matrix<T> z, Matrix<T> y) {
  const int64_t r = row_of_warp();
  if (r >= z.rows) return;
  for (int64_t c = threadIdx.x; c < z.cols; c += warp_size) {
    const T sum = from_compute<T>(to_compute(z.row(r)[c]) + bias[c]);
    z.row(r)[c] = sum;
    y.row(r)[c] = from_compute<T>(silu(to_compute(sum)));  // of what is kept, as backward will see it
  }
}

template <typename T>
__global__ void softmax_rows_kernel(Matrix<T> x) {
  const int64_t r = row_of_warp();
  if (r >= x.rows) return;
  T* row = x.row(r);
  Compute<T> top = to_compute(row[0]), sum = 0;
  for (int64_t c = threadIdx.x; c < x.cols; c += warp_size) {
    const Compute<T> value = to_compute(row[c]);
    top = value > top || value != value ? value : top;
  }
  top = warp_max(top);
  for (int64_t c = threadIdx.x; c < x.cols; c += warp_size) sum += exponential(to_compute(row[c]) - top);
  sum = warp_sum(sum);
  for (int64_t c = threadIdx.x; c < x.cols; c += warp_size)
    row[c] = from_compute<T>(exponential(to_compute(row[c]) - top) / sum);
}

template <typename T>
__global__ void softmax_rows_backward_kernel(Matrix<const T> y, Matrix<const T> dy, Matrix<T> dx) {
  const int64_t r = row_of_warp();
  if (r >= y.rows) return;
  Compute<T> dot = 0;
  for (int64_t c = threadIdx.x; c < y.cols; c += warp_size)
    dot += to_compute(y.row(r)[c]) * to_compute(dy.row(r)[c]);
  dot = warp_sum(dot);
  for (int64_t c = threadIdx.x; c < y.cols; c += warp_size)
    dx.row(r)[c] = from_compute<T>(to_compute(y.row(r)[c]) * (to_compute(dy.row(r)[c]) - dot));
}

template <typename T>
struct RowSum {
  Matrix<const T> x;
  __device__ void operator()(int64_t r, int64_t c, Compute<T> (&sum)[1]) const {
    sum[0] += to_compute(x.row(r)[c]);
  }
};

}  // namespace

void add_bias(Context& ctx, const ConstView& bias, View y) {
  with_row_type(y.dtype(), [&]<typename T>(T) {
    launch_rows(ctx, "add_bias", y.rows(), add_bias_kernel<T>, bias.data<Compute<T>>(), matrix<T>(y));
  });
}

void bias_silu(Context& ctx, const ConstView& bias, View z, View y) {
  with_row_type(z.dtype(), [&]<typename T>(T) {
    launch_rows(ctx, "bias_silu", z.rows(), bias_silu_kernel<T>, bias.data<Compute<T>>(), matrix<T>(z),
                matrix<T>(y));
  });
}

void column_sum(Context& ctx, const ConstView& x, GradMode mode, View sum) {
  with_row_type(x.dtype(), [&]<typename T>(T) {
    column_sums<1, Compute<T>>(ctx, "column_sum", RowSum<T>{matrix<const T>(x)}, x.rows(), x.cols(),
                               mode == GradMode::accumulate, {sum.data<Compute<T>>()});
  });
}

void softmax_rows(Context& ctx, View x) {
  with_row_type(x.dtype(), [&]<typename T>(T) {
    launch_rows(ctx, "softmax_rows", x.rows(), softmax_rows_kernel<T>, matrix<T>(x));
  });
}

void softmax_rows_backward(Context& ctx, const ConstView& y, const ConstView& dy, View dx) {
  with_row_type(y.dtype(), [&]<typename T>(T) {
    launch_rows(ctx, "softmax_rows_backward", y.rows(), softmax_rows_backward_kernel<T>, matrix<const T>(y),
                matrix<const T>(dy), matrix<T>(dx));
  });
}

}  // namespace lime::cuda
