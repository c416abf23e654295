// For kernels' authors: rows summed over by a warp, or by half of one where they are short. A row that is
// short enough is held in registers, so that it is read from memory once however often it is gone over.
//
//   template <typename T, typename L>
//   __global__ void __launch_bounds__(lanes_threads) square_kernel(Matrix<const T> x, Matrix<T> y) {
//     const RowLanes<L> lanes(x.rows, x.cols, int64_t{blockIdx.x} * L::rows);  // of the block's L::rows rows
//     const LaneValues<T, L> row(lanes, x);
//     Compute<T> sum = 0;
//     lanes.each([&](int p, int64_t c) {  // for each pack p of this lane: columns c to c + L::N - 1
//       Compute<T> v[L::N];
//       row.get(p, c, v);
//       for (int i = 0; i < L::N; ++i) sum += v[i] * v[i];
//     });
//     sum = lanes.sum(sum);  // all lanes call, those of rows past the last too
//     if (lanes.there) ...
//   }
//   with_row_lanes<T>({x, y}, {}, [&]<typename L>() {
//     launch(ctx, "square", square_kernel<T, L>, dim3(divide_up(x.rows(), L::rows)), dim3(lanes_threads),
//     ...);
//   });
#pragma once

#include <algorithm>

#include "runtime/cuda_kernel_columns.h"
#include "runtime/cuda_kernel_math.h"
#include "runtime/cuda_kernel_rows.h"

namespace lime::cuda {

inline constexpr int lanes_threads = 256;

// `lanes` threads a row, `packs` packs of N columns a lane; packs = 0: any number, which are not held.
template <int N_, int packs_, int lanes_>
struct Lanes {
  static constexpr int N = N_, packs = packs_, lanes = lanes_;
  static constexpr bool held = packs > 0;
  static constexpr int rows = lanes_threads / lanes;  // of a block at a time
};

// Blocks of a kernel with LaneColumnSums that a multiprocessor has to have at once: while some wait for
// memory, others add. Few enough that no register is spilled.
template <typename L>
inline constexpr int blocks_at_once = L::packs == 1   ? 3
                                      : L::packs == 2 ? 2
                                                      : 1;

// A thread's part of its row: row `first` + (its number among the block's L::rows).
template <typename L>
struct RowLanes {
  int64_t r, cols;
  int lane;
  bool there;  // else r is the last row, for company in sums

  __device__ RowLanes(int64_t rows, int64_t cols_, int64_t first)
      : r(first + threadIdx.x / L::lanes),
        cols(cols_),
        lane(static_cast<int>(threadIdx.x % L::lanes)),
        there(r < rows) {
    if (!there) r = rows - 1;
  }
  template <typename F>
  __device__ __forceinline__ void each(F f) const {
    if constexpr (L::held) {
#pragma unroll
      for (int p = 0; p < L::packs; ++p) {
        const int64_t c = int64_t{p * L::lanes + lane} * L::N;
        if (c < cols) f(p, c);
      }
    } else {
      for (int64_t c = int64_t{lane} * L::N; c < cols; c += L::lanes * L::N) f(0, c);
    }
  }
  template <typename A>
  __device__ __forceinline__ A sum(A x) const {
#pragma unroll
    for (int distance = L::lanes / 2; distance > 0; distance /= 2)
      x += __shfl_xor_sync(all_lanes, x, distance);
    return x;
  }
};

// A row's values in a thread, or zeros, which nothing is read for: the last row is not read for company,
// since its owner may be writing it.
template <typename T, typename L>
struct LaneValues {
  const T* row;  // null: zeros
  Pack<T, L::N> at[L::held ? L::packs : 1] = {};

  __device__ __forceinline__ LaneValues(const RowLanes<L>& lanes, const Matrix<const T>& x, bool there = true)
      : row(there && lanes.there ? x.row(lanes.r) : nullptr) {
    if constexpr (L::held)
      if (row) lanes.each([&](int p, int64_t c) { at[p] = load_pack<L::N>(row + c); });
  }
  __device__ __forceinline__ LaneValues(const RowLanes<L>& lanes, const Matrix<T>& x, bool there)
      : LaneValues(lanes, Matrix<const T>{x.data, x.rows, x.cols, x.stride}, there) {}
  __device__ __forceinline__ void get(int p, int64_t c, Compute<T> (&v)[L::N]) const {
    if constexpr (L::held) {
#pragma unroll
      for (int i = 0; i < L::N; ++i) v[i] = to_compute(at[p].at[i]);
    } else if (row) {
      load(row + c, v);
    } else {
      for (int i = 0; i < L::N; ++i) v[i] = 0;
    }
  }
};

// Mean and 1 / deviation of a row, eps inside the root; all lanes call. As LayerNorm keeps them for backward.
template <typename A>
struct RowStatistics {
  A mean, rstd;
};
template <typename T, typename L, typename A = Compute<T>>
__device__ __forceinline__ RowStatistics<A> row_statistics(const RowLanes<L>& lanes,
                                                           const LaneValues<T, L>& row, A eps) {
  const A share = 1 / static_cast<A>(lanes.cols);
  A sum = 0, squares = 0;
  lanes.each([&](int p, int64_t c) {
    A v[L::N];
    row.get(p, c, v);
    for (int i = 0; i < L::N; ++i) sum += v[i];
  });
  const A mean = lanes.sum(sum) * share;
  lanes.each([&](int p, int64_t c) {
    A v[L::N];
    row.get(p, c, v);
    for (int i = 0; i < L::N; ++i) squares += (v[i] - mean) * (v[i] - mean);
  });
  return {mean, reciprocal_root(multiply_add(lanes.sum(squares), share, eps))};
}

// Sums over rows of what a thread adds up in its columns, for blocks that go over `columns::rows_a_block`
// rows each; held rows only.
template <int Sums, typename L, typename A>
struct LaneColumnSums {
  A at[Sums][L::held ? L::packs : 1][L::N] = {};

  // partial[s, block, c], as add_partial_sums takes them; the rows of a thread in order, then the threads'.
  // All threads of the block call.
  __device__ void write(int64_t cols, A* partial) const {
    constexpr int columns = L::lanes * L::N;
    __shared__ A of_row[L::rows][columns];
    const int lane = static_cast<int>(threadIdx.x) % L::lanes, row = static_cast<int>(threadIdx.x) / L::lanes;
#pragma unroll
    for (int s = 0; s < Sums; ++s) {
#pragma unroll
      for (int p = 0; p < (L::held ? L::packs : 1); ++p) {
        __syncthreads();  // the pack before has been read
#pragma unroll
        for (int i = 0; i < L::N; ++i) of_row[row][i * L::lanes + lane] = at[s][p][i];
        __syncthreads();
        for (int t = static_cast<int>(threadIdx.x); t < columns; t += lanes_threads) {
          const int64_t c = int64_t{p * L::lanes + t % L::lanes} * L::N + t / L::lanes;
          if (c >= cols) continue;
          A total = 0;
          for (int r = 0; r < L::rows; ++r) total += of_row[r][t];
          partial[(int64_t{s} * gridDim.x + blockIdx.x) * cols + c] = total;
        }
      }
    }
  }
};

// Backward of an operation on rows with gain and bias: calls start(blocks, rows of a block, partial), which
// launches its kernel, and sees that the parameters' gradients are added up: held rows by the kernel, which
// writes `partial` by LaneColumnSums, else by `pack_sums` (column_sums_of_packs), first: what the kernel
// writes may be what they are made from.
template <typename L, typename A, typename PackSums, typename Start>
void with_parameter_gradients(Context& ctx, const char* name, int64_t rows, int64_t cols, bool accumulate,
                              const columns::Outputs<2, A>& out, const PackSums& pack_sums,
                              const Start& start) {
  const int64_t rows_of_block = columns::rows_a_block(rows), blocks = divide_up(rows, rows_of_block);
  A* partial = nullptr;
  if constexpr (L::held) {
    partial = ctx.arena().alloc(dtype_of<A>(), 2 * blocks, cols).template data<A>();
  } else {
    column_sums_of_packs<2, L::N, A>(ctx, name, pack_sums, rows, cols, accumulate, out);
  }
  start(dim3(static_cast<uint32_t>(blocks)), rows_of_block, partial);
  if constexpr (L::held) columns::add_partial_sums(ctx, name, partial, blocks, cols, accumulate, out);
}

// What a kernel does with rows: it writes rows, or also adds up columns (LaneColumnSums), for which it needs
// registers.
enum class Rows { written, summed };

// Calls f.operator()<L>() with the Lanes for `rows` of T and vectors that go with them. Rows of f32 and bf16
// of up to 1024 columns are held, if all begin at multiples of 16 bytes. Strides decide, not the number of
// rows: a row has the same bits wherever it is. What a row costs beside its columns - sums over lanes, a root
// - a warp does for two rows at once where half of it can hold one.
template <typename T, Rows use = Rows::written, typename F>
void with_row_lanes(std::initializer_list<ConstView> rows, std::initializer_list<ConstView> vectors, F f) {
  const int64_t cols = rows.begin()->cols();
  const auto whole = [](const ConstView& v) {
    return whole_packs(v) && v.stride() * static_cast<int64_t>(sizeof(T)) % 16 == 0;
  };
  constexpr int N = pack_width<T>;
  if (std::all_of(rows.begin(), rows.end(), whole) &&
      std::all_of(vectors.begin(), vectors.end(), whole_packs)) {
    if constexpr (!std::is_same_v<T, double>) {
      const int64_t packs = cols / N;
      if (packs <= 16) return f.template operator()<Lanes<N, 1, 16>>();
      if (packs <= 32)
        return f.template
        operator()<std::conditional_t<use == Rows::written, Lanes<N, 2, 16>, Lanes<N, 1, 32>>>();
      if (packs <= 64) return f.template operator()<Lanes<N, 2, 32>>();
      if (packs <= 128) return f.template operator()<Lanes<N, 4, 32>>();
      if constexpr (N == 4)
        if (packs <= 256) return f.template operator()<Lanes<N, 8, 32>>();
    }
    return f.template operator()<Lanes<N, 0, 32>>();
  }
  f.template operator()<Lanes<1, 0, 32>>();
}

}  // namespace lime::cuda
