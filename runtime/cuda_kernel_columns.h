// Sums over rows, column by column, for kernels' authors: bias gradients and their like, in two passes
// without atomics.
#pragma once

#include <algorithm>

#include "runtime/cuda_kernel.h"

namespace lime::cuda {

namespace columns {

inline constexpr int tile_cols = 32, tile_rows = 8;
// Whole turns of the threads' rows; as many blocks as 132 multiprocessors do in whole waves of two, three or
// six.
inline constexpr int64_t turn = 16, most_row_blocks = 6 * 132;

// Rows of a block that sums over some: a function of their number alone.
inline int64_t rows_a_block(int64_t rows) {
  return std::max<int64_t>(divide_up(rows, most_row_blocks * turn), 1) * turn;
}

// partial[s, block, c] = the sum of F's s-th term over the block's rows: those of each thread in order, then
// the threads'. N columns a thread.
template <int Sums, int N, typename A, typename F>
__global__ void partial_sums_kernel(F f, int64_t rows, int64_t cols, int64_t rows_a_block, A* partial) {
  __shared__ A of_thread[Sums][tile_rows][N][tile_cols];
  const int64_t c = (int64_t{blockIdx.x} * tile_cols + threadIdx.x) * N;
  const int64_t begin = blockIdx.y * rows_a_block,
                end = begin + rows_a_block < rows ? begin + rows_a_block : rows;
  A sum[Sums][N] = {};
  if (c < cols)
    for (int64_t r = begin + threadIdx.y; r < end; r += tile_rows) f(r, c, sum);
  for (int s = 0; s < Sums; ++s)
    for (int i = 0; i < N; ++i) of_thread[s][threadIdx.y][i][threadIdx.x] = sum[s][i];
  __syncthreads();
  if (threadIdx.y != 0 || c >= cols) return;
  for (int s = 0; s < Sums; ++s) {
    for (int i = 0; i < N; ++i) {
      A total = 0;
      for (int y = 0; y < tile_rows; ++y) total += of_thread[s][y][i][threadIdx.x];
      partial[(int64_t{s} * gridDim.y + blockIdx.y) * cols + c + i] = total;
    }
  }
}

// A function of one column as one of packs of one.
template <int Sums, typename A, typename F>
struct OneColumn {
  F f;
  __device__ void operator()(int64_t r, int64_t c, A (&sum)[Sums][1]) const {
    A of_column[Sums];
    for (int s = 0; s < Sums; ++s) of_column[s] = sum[s][0];
    f(r, c, of_column);
    for (int s = 0; s < Sums; ++s) sum[s][0] = of_column[s];
  }
};

template <int Sums, typename A>
struct Outputs {
  A* sum[Sums];
};

inline constexpr int partial_rows = 32, partials_at_once = 8;

// Column c of sum blockIdx.y: partial sums of threads that take every 32nd block, in order, then the
// threads'.
template <int Sums, typename A>
__global__ void __launch_bounds__(partial_rows* tile_cols)
    add_partial_sums_kernel(const A* partial, int64_t blocks, int64_t cols, bool accumulate,
                            Outputs<Sums, A> out) {
  __shared__ A of_thread[partial_rows][tile_cols];
  const int64_t c = int64_t{blockIdx.x} * tile_cols + threadIdx.x, s = blockIdx.y;
  A sum = 0;
  if (c < cols) {
    for (int64_t first = threadIdx.y; first < blocks; first += partial_rows * partials_at_once) {
      A of_block[partials_at_once];
#pragma unroll
      for (int k = 0; k < partials_at_once; ++k) {
        const int64_t b = first + k * partial_rows;
        of_block[k] = b < blocks ? partial[(s * blocks + b) * cols + c] : 0;
      }
#pragma unroll
      for (int k = 0; k < partials_at_once; ++k) sum += of_block[k];
    }
  }
  of_thread[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y != 0 || c >= cols) return;
  A total = 0;
  for (int y = 0; y < partial_rows; ++y) total += of_thread[y][threadIdx.x];
  A* const to = Sums == 1 || s == 0 ? out.sum[0] : out.sum[Sums - 1];
  to[c] = accumulate ? to[c] + total : total;
}

template <int Sums, typename A>
void add_partial_sums(Context& ctx, const char* name, const A* partial, int64_t blocks, int64_t cols,
                      bool accumulate, const Outputs<Sums, A>& out) {
  static_assert(Sums <= 2);
  launch(ctx, name, add_partial_sums_kernel<Sums, A>, dim3(divide_up(cols, tile_cols), Sums),
         dim3(tile_cols, partial_rows), 0, partial, blocks, cols, accumulate, out);
}

}  // namespace columns

// For each s and c: out[s][c] = or += the sum over r of what f(r, c, sum) adds to sum[s], with
//   struct F { __device__ void operator()(int64_t r, int64_t c, A (&sum)[Sums][N]) const; };
// for N columns from c on; cols is a multiple of N. f is called once for each row and each N columns, and may
// write what no other call reads. `out` are contiguous rows of `cols` on the device. The order of the sums is
// a function of rows alone. No rows: the sums are 0.
template <int Sums, int N, typename A, typename F>
void column_sums_of_packs(Context& ctx, const char* name, F f, int64_t rows, int64_t cols, bool accumulate,
                          columns::Outputs<Sums, A> out) {
  using namespace columns;
  if (cols == 0) return;
  const Arena::Scope scope(ctx.arena());
  const int64_t rows_of_block = columns::rows_a_block(rows), blocks = divide_up(rows, rows_of_block);
  A* partial = ctx.arena().alloc(dtype_of<A>(), Sums * blocks, cols).template data<A>();
  launch(ctx, name, partial_sums_kernel<Sums, N, A, F>,
         dim3(divide_up(cols, tile_cols * N), static_cast<uint32_t>(blocks)), dim3(tile_cols, tile_rows), 0,
         f, rows, cols, rows_of_block, partial);
  add_partial_sums(ctx, name, partial, blocks, cols, accumulate, out);
}

// ... column by column: f(r, c, sum) with A (&sum)[Sums].
template <int Sums, typename A, typename F>
void column_sums(Context& ctx, const char* name, F f, int64_t rows, int64_t cols, bool accumulate,
                 columns::Outputs<Sums, A> out) {
  column_sums_of_packs<Sums, 1, A>(ctx, name, columns::OneColumn<Sums, A, F>{f}, rows, cols, accumulate, out);
}

}  // namespace lime::cuda
