// Primitives over segments of rows.
#include <algorithm>

#include "runtime/cuda_kernel.h"
#include "runtime/primitives_cuda.h"

namespace lime::cuda {

namespace {

constexpr int tile_cols = 32, tile_rows = 8;
constexpr int64_t most_blocks_y = 4096;  // several times what any device holds at once

// y[b, c] = or += the sum over the rows of segment b, times 1 or 1 / length: those of each thread in order,
// then the threads'. Segments go by in steps of gridDim.y.
template <typename T>
__global__ void segment_sum_kernel(Matrix<const T> x, const int64_t* offsets, bool mean, bool accumulate,
                                   Matrix<T> y) {
  __shared__ Compute<T> of_thread[tile_rows][tile_cols];
  const int64_t c = int64_t{blockIdx.x} * tile_cols + threadIdx.x;
  for (int64_t b = blockIdx.y; b < y.rows; b += gridDim.y) {
    const int64_t begin = offsets[b], end = offsets[b + 1];
    Compute<T> sum = 0;
    if (c < x.cols)
      for (int64_t r = begin + threadIdx.y; r < end; r += tile_rows) sum += to_compute(x.row(r)[c]);
    __syncthreads();  // the last segment's have been read
    of_thread[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y != 0 || c >= x.cols) continue;
    Compute<T> total = 0;
    for (int t = 0; t < tile_rows; ++t) total += of_thread[t][threadIdx.x];
    if (mean && end > begin) total /= static_cast<Compute<T>>(end - begin);
    T& out = y.row(b)[c];
    out = from_compute<T>(accumulate ? to_compute(out) + total : total);
  }
}

// y[r, c] = or += x[b, c] for the segment b that holds row r, divided by its length if `share`. A warp writes
// a row.
template <typename T>
__global__ void spread_kernel(Matrix<const T> x, const int64_t* offsets, bool share, bool accumulate,
                              Matrix<T> y) {
  const int64_t r = int64_t{blockIdx.x} * tile_rows + threadIdx.y;
  if (r >= y.rows) return;
  const int64_t b = segment_of(offsets, x.rows, r);
  const Compute<T> length = share ? static_cast<Compute<T>>(offsets[b + 1] - offsets[b]) : 1;
  for (int64_t c = threadIdx.x; c < y.cols; c += warp_size) {
    const Compute<T> value = to_compute(x.row(b)[c]) / length;
    y.row(r)[c] = from_compute<T>(accumulate ? to_compute(y.row(r)[c]) + value : value);
  }
}

void segment_sum(Context& ctx, const char* name, const ConstView& x, const Jagged& jagged, bool mean,
                 GradMode mode, View y) {
  with_row_type(x.dtype(), [&]<typename T>(T) {
    const dim3 grid(divide_up(y.cols(), tile_cols), static_cast<uint32_t>(std::min(y.rows(), most_blocks_y)));
    launch(ctx, name, segment_sum_kernel<T>, grid, dim3(tile_cols, tile_rows), 0, matrix<const T>(x),
           jagged.device(), mean, mode == GradMode::accumulate, matrix<T>(y));
  });
}

void spread(Context& ctx, const char* name, const ConstView& x, const Jagged& jagged, bool share,
            GradMode mode, View y) {
  with_row_type(x.dtype(), [&]<typename T>(T) {
    launch(ctx, name, spread_kernel<T>, dim3(divide_up(y.rows(), tile_rows)), dim3(warp_size, tile_rows), 0,
           matrix<const T>(x), jagged.device(), share, mode == GradMode::accumulate, matrix<T>(y));
  });
}

}  // namespace

void segment_mean(Context& ctx, const ConstView& x, const Jagged& jagged, View y) {
  segment_sum(ctx, "segment_mean", x, jagged, true, GradMode::overwrite, y);
}

void segment_mean_backward(Context& ctx, const ConstView& dy, const Jagged& jagged, GradMode mode, View dx) {
  spread(ctx, "segment_mean_backward", dy, jagged, true, mode, dx);
}

void repeat_rows(Context& ctx, const ConstView& x, const Jagged& jagged, View y) {
  spread(ctx, "repeat_rows", x, jagged, false, GradMode::overwrite, y);
}

void repeat_rows_backward(Context& ctx, const ConstView& dy, const Jagged& jagged, GradMode mode, View dx) {
  segment_sum(ctx, "repeat_rows_backward", dy, jagged, false, mode, dx);
}

}  // namespace lime::cuda
