// For kernels' authors: operations on rows of columns, in packs of 16 bytes where all rows allow it.
//
//   template <typename T>
//   struct Twice {
//     Matrix<const T> x;
//     Matrix<T> y;
//     template <int N>
//     __device__ void at(int64_t r, int64_t c) const {  // columns c to c + N - 1 of row r
//       Compute<T> value[N];
//       load(x.row(r) + c, value);
//       ... store(value, y.row(r) + c);
//     }
//   };
//   each_pack<T>(ctx, "twice", Twice<T>{matrix<const T>(x), matrix<T>(y)}, {x, y});
#pragma once

#include <algorithm>
#include <bit>
#include <initializer_list>

#include "runtime/cuda_kernel.h"

namespace lime::cuda {

// N neighbours in the type that they are computed in. `p` is aligned to N elements.
template <int N, typename T>
__device__ __forceinline__ void load(const T* p, Compute<T> (&x)[N]) {
  const auto pack = load_pack<N>(p);
#pragma unroll
  for (int i = 0; i < N; ++i) x[i] = to_compute(pack.at[i]);
}
template <int N, typename T>
__device__ __forceinline__ void store(const Compute<T> (&x)[N], T* p) {
  Pack<T, N> pack;
#pragma unroll
  for (int i = 0; i < N; ++i) pack.at[i] = from_compute<T>(x[i]);
  store_pack(p, pack);
}

// N neighbours of a vector that goes with rows (a bias, a gain), 16 bytes at a time: N is 1, or p is aligned
// to 16 bytes.
template <int N, typename A>
__device__ __forceinline__ void load_vector(const A* p, A (&x)[N]) {
  constexpr int part = N < pack_width<A> ? N : pack_width<A>;
#pragma unroll
  for (int first = 0; first < N; first += part) {
    const auto pack = load_pack<part>(p + first);
#pragma unroll
    for (int i = 0; i < part; ++i) x[first + i] = pack.at[i];
  }
}

// with_row_type for what is never bf16: parameters' values and gradients, statistics, logits.
template <typename F>
void with_parameter_type(DType dtype, F f) {
  LIME_CHECK(dtype == DType::f32 || dtype == DType::f64, "parameters of ", to_string(dtype));
  dtype == DType::f32 ? f(float{}) : f(double{});
}

// Calls f.operator()<N>() with N = as many elements of T as 16 bytes hold if all of `rows` are whole packs,
// else 1.
template <typename T, typename F>
void with_pack_width(std::initializer_list<ConstView> rows, F f) {
  if (std::all_of(rows.begin(), rows.end(), whole_packs)) {
    f.template operator()<pack_width<T>>();
  } else {
    f.template operator()<1>();
  }
}

namespace rows {

inline constexpr int64_t threads = 256, most_blocks_y = 65535;

template <int N, typename F>
__global__ void each_pack_kernel(F f, int64_t count, int64_t packs) {
  const int64_t row_step = int64_t{gridDim.y} * blockDim.y, pack_step = int64_t{gridDim.x} * blockDim.x;
  for (int64_t r = int64_t{blockIdx.y} * blockDim.y + threadIdx.y; r < count; r += row_step)
    for (int64_t p = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; p < packs; p += pack_step)
      f.template at<N>(r, p * N);
}

// Blocks for a thread for each of `packs` of each row, or of as many rows as a grid can have.
struct Blocks {
  dim3 grid, threads;
};
inline Blocks blocks_of(int64_t row_count, int64_t packs) {
  const int64_t columns =
      std::min<int64_t>(threads, static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(packs))));
  const int64_t rows_a_block = threads / columns;
  return {dim3(divide_up(packs, columns),
               static_cast<uint32_t>(std::min<int64_t>(divide_up(row_count, rows_a_block), most_blocks_y))),
          dim3(static_cast<uint32_t>(columns), static_cast<uint32_t>(rows_a_block))};
}

}  // namespace rows

// Calls f.at<N>(r, c) once for each row r and each N columns from c on; cols is a multiple of N.
template <int N, typename F>
void each_pack_of(Context& ctx, const char* name, F f, int64_t row_count, int64_t cols) {
  if (row_count == 0 || cols == 0) return;
  const int64_t packs = cols / N;
  const auto [grid, block] = rows::blocks_of(row_count, packs);
  launch(ctx, name, rows::each_pack_kernel<N, F>, grid, block, 0, f, row_count, packs);
}

// ... for the rows and columns of the first of `views`, with the N of with_pack_width over all of them, which
// are rows of T.
template <typename T, typename F>
void each_pack(Context& ctx, const char* name, F f, std::initializer_list<ConstView> views) {
  const ConstView& shape = *views.begin();
  with_pack_width<T>(views, [&]<int N>() { each_pack_of<N>(ctx, name, f, shape.rows(), shape.cols()); });
}

}  // namespace lime::cuda
