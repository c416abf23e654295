// Sums over rows, column by column, for kernels' authors: bias gradients and their like, in two passes
// without atomics.
#pragma once

#include <algorithm>

#include "runtime/cuda_kernel.h"

namespace lime::cuda {

namespace columns {

inline constexpr int tile_cols = 32, tile_rows = 8;
inline constexpr int64_t fewest_rows_a_block = 64, most_row_blocks = 128;

// partial[s, block, c] = the sum of F's s-th term over the block's rows: those of each thread in order, then
// the threads'.
template <int Sums, typename A, typename F>
__global__ void partial_sums_kernel(F f, int64_t rows, int64_t cols, int64_t rows_a_block, A* partial) {
  __shared__ A of_thread[Sums][tile_rows][tile_cols];
  const int64_t c = int64_t{blockIdx.x} * tile_cols + threadIdx.x;
  const int64_t begin = blockIdx.y * rows_a_block,
                end = begin + rows_a_block < rows ? begin + rows_a_block : rows;
  A sum[Sums] = {};
  if (c < cols)
    for (int64_t r = begin + threadIdx.y; r < end; r += tile_rows) f(r, c, sum);
  for (int s = 0; s < Sums; ++s) of_thread[s][threadIdx.y][threadIdx.x] = sum[s];
  __syncthreads();
  if (threadIdx.y != 0 || c >= cols) return;
  for (int s = 0; s < Sums; ++s) {
    A total = 0;
    for (int y = 0; y < tile_rows; ++y) total += of_thread[s][y][threadIdx.x];
    partial[(int64_t{s} * gridDim.y + blockIdx.y) * cols + c] = total;
  }
}

template <int Sums, typename A>
struct Outputs {
  A* sum[Sums];
};

template <int Sums, typename A>
__global__ void add_partial_sums_kernel(const A* partial, int64_t blocks, int64_t cols, bool accumulate,
                                        Outputs<Sums, A> out) {
  const int64_t c = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (c >= cols) return;
  for (int s = 0; s < Sums; ++s) {
    A total = 0;
    for (int64_t b = 0; b < blocks; ++b) total += partial[(s * blocks + b) * cols + c];
    out.sum[s][c] = accumulate ? out.sum[s][c] + total : total;
  }
}

}  // namespace columns

// For each s and c: out[s][c] = or += the sum over r of what f(r, c, sum) adds to sum[s], with
//   struct F { __device__ void operator()(int64_t r, int64_t c, A (&sum)[Sums]) const; };
// f is called once for each r < rows and c < cols. `out` are contiguous rows of `cols` on the device. The
// order of the sums is a function of rows alone. No rows: the sums are 0.
template <int Sums, typename A, typename F>
void column_sums(Context& ctx, const char* name, F f, int64_t rows, int64_t cols, bool accumulate,
                 columns::Outputs<Sums, A> out) {
  using namespace columns;
  if (cols == 0) return;
  const Arena::Scope scope(ctx.arena());
  const int64_t rows_a_block = std::max(fewest_rows_a_block, (rows + most_row_blocks - 1) / most_row_blocks);
  const int64_t blocks = divide_up(rows, rows_a_block);
  A* partial = ctx.arena().alloc(dtype_of<A>(), Sums * blocks, cols).template data<A>();
  launch(ctx, name, partial_sums_kernel<Sums, A, F>,
         dim3(divide_up(cols, tile_cols), static_cast<uint32_t>(blocks)), dim3(tile_cols, tile_rows), 0, f,
         rows, cols, rows_a_block, partial);
  launch(ctx, name, add_partial_sums_kernel<Sums, A>, dim3(divide_up(cols, 128)), dim3(128), 0, partial,
         blocks, cols, accumulate, out);
}

}  // namespace lime::cuda
