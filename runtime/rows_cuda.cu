// Primitives over rows and columns: a thread has 16 bytes of a row, or a warp the row.
#include <limits>

#include "runtime/cuda_kernel.h"
#include "runtime/cuda_kernel_columns.h"
#include "runtime/cuda_kernel_math.h"
#include "runtime/cuda_kernel_rows.h"
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
struct AddBias {
  const Compute<T>* bias;
  Matrix<T> y;
  template <int N>
  __device__ void at(int64_t r, int64_t c) const {
    Compute<T> v[N], b[N];
    load(y.row(r) + c, v);
    load_vector(bias + c, b);
    for (int i = 0; i < N; ++i) v[i] += b[i];
    store(v, y.row(r) + c);
  }
};

template <typename T>
struct BiasSilu {
  const Compute<T>* bias;
  Matrix<T> z, y;
  template <int N>
  __device__ void at(int64_t r, int64_t c) const {
    Compute<T> v[N], b[N];
    load(z.row(r) + c, v);
    load_vector(bias + c, b);
    for (int i = 0; i < N; ++i) v[i] = to_compute(from_compute<T>(v[i] + b[i]));
    store(v, z.row(r) + c);
    for (int i = 0; i < N; ++i) v[i] = silu(v[i]);  // of what is kept, as backward will see it
    store(v, y.row(r) + c);
  }
};

template <typename T>
__global__ void softmax_rows_kernel(Matrix<T> x) {
  const int64_t r = row_of_warp();
  if (r >= x.rows) return;
  T* row = x.row(r);
  Compute<T> top = -std::numeric_limits<Compute<T>>::infinity(), sum = 0;
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

template <int N, typename T>
struct RowSum {
  Matrix<const T> x;
  __device__ void operator()(int64_t r, int64_t c, Compute<T> (&sum)[1][N]) const {
    Compute<T> v[N];
    load(x.row(r) + c, v);
    for (int i = 0; i < N; ++i) sum[0][i] += v[i];
  }
};

}  // namespace

void add_bias(Context& ctx, const ConstView& bias, View y) {
  with_row_type(y.dtype(), [&]<typename T>(T) {
    each_pack<T>(ctx, "add_bias", AddBias<T>{bias.data<Compute<T>>(), matrix<T>(y)}, {y, bias});
  });
}

void bias_silu(Context& ctx, const ConstView& bias, View z, View y) {
  with_row_type(z.dtype(), [&]<typename T>(T) {
    each_pack<T>(ctx, "bias_silu", BiasSilu<T>{bias.data<Compute<T>>(), matrix<T>(z), matrix<T>(y)},
                 {z, y, bias});
  });
}

void column_sum(Context& ctx, const ConstView& x, GradMode mode, View sum) {
  with_row_type(x.dtype(), [&]<typename T>(T) {
    with_pack_width<T>({x}, [&]<int N>() {
      column_sums_of_packs<1, N, Compute<T>>(ctx, "column_sum", RowSum<N, T>{matrix<const T>(x)}, x.rows(),
                                             x.cols(), mode == GradMode::accumulate,
                                             {sum.data<Compute<T>>()});
    });
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
