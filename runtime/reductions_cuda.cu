// Reductions of all of a view.
#include <algorithm>

#include "runtime/cuda_kernel.h"
#include "runtime/primitives_cuda.h"

namespace lime::cuda {

namespace {

constexpr int threads = 256;
constexpr int64_t elements_a_block = 8 * threads, most_blocks = 1024;

// The i-th element in order of rows. One long row, as gradients are, needs no division.
template <typename T>
__device__ __forceinline__ Compute<T> element(const Matrix<const T>& x, int64_t i) {
  return to_compute(x.rows == 1 ? x.data[i] : x.row(i / x.cols)[i % x.cols]);
}

// partial[block] = the sum over the block's elements, which are gridDim.x * threads apart, in f64.
template <typename T>
__global__ void squares_kernel(Matrix<const T> x, double* partial) {
  const int64_t size = x.rows * x.cols;
  double sum = 0;
  for (int64_t i = int64_t{blockIdx.x} * threads + threadIdx.x; i < size; i += int64_t{gridDim.x} * threads) {
    const double value = element(x, i);
    sum += value * value;
  }
  sum = block_sum(sum);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

__global__ void sum_kernel(const double* values, int64_t n, double* total) {
  double sum = 0;
  for (int64_t i = threadIdx.x; i < n; i += threads) sum += values[i];
  sum = block_sum(sum);
  if (threadIdx.x == 0) *total = sum;
}

// A function of the shape, so that the order of sums is.
int64_t blocks_for(const ConstView& x) {
  return std::min<int64_t>(divide_up(x.size(), elements_a_block), most_blocks);
}

}  // namespace

void sum_of_squares(Context& ctx, const ConstView& x, View sum) {
  if (x.empty()) return cuda::fill(ctx, sum, 0);
  const Arena::Scope scope(ctx.arena());
  const int64_t blocks = blocks_for(x);
  auto* partial = ctx.arena().alloc(DType::f64, 1, blocks).data<double>();
  with_row_type(x.dtype(), [&]<typename T>(T) {
    launch(ctx, "sum_of_squares", squares_kernel<T>, dim3(static_cast<uint32_t>(blocks)), dim3(threads), 0,
           matrix<const T>(x), partial);
  });
  launch(ctx, "sum_of_squares", sum_kernel, dim3(1), dim3(threads), 0, partial, blocks, sum.data<double>());
}

}  // namespace lime::cuda
