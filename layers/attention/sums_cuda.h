// The one sum that attention between links and history is made of, for kernels of any type and shape.
//
// One side, x, owns sums over the rows of the other, y, for each head (w columns); one of them is the links
// of a request, the other its history:
//   S = x0 y0^T,  G = x1 y1^T      scores and their gradients, one a pair of rows
//   (A, D) = weigh(S, G)           attention weights and gradients before them
//   sum0 = D y0,  sum1 = A y1
// With queries Q and gradients dO on one side, keys K and values V on the other, this is
//   attention            x = (Q, -)   y = (K, V)    sum1 = O
//   gradient of queries  x = (Q, dO)  y = (K, V)    sum0 = dQ
//   gradient of keys     x = (K, V)   y = (Q, dO)   sum0 = dK, sum1 = dV
// History rows own theirs entirely; those of links are split over chunks of the history
// (chunks_cuda.h).
//
// A block of 256 threads computes 32 rows of x, 64 columns of the sums, over y in steps of 32 rows: all
// staged through shared memory in squares of 32 x 32, so that any width fits. Wider heads compute their
// scores again for each 64 columns. 33 KB of shared memory for f64, half of it for the others.
//
// Rows of bf16 and of tf32 are multiplied by tensor cores, a 16 x 8 piece of a square a warp: what is
// multiplied (rows, and weights) is rounded to tf32, which leaves bf16 as it is. Sums are f32.
#pragma once

#include "layers/attention/chunks_cuda.h"
#include "runtime/cuda_kernel_mma.h"

namespace lime::cuda {

inline constexpr int square = 32, sum_columns = 64;
inline constexpr dim3 square_threads(16, 16);

template <typename T>
inline constexpr bool by_tensor_cores = std::is_same_v<T, bf16> || std::is_same_v<T, tf32>;

template <typename T>
struct AttentionSides {
  Matrix<const T> x0, x1, y0, y1;  // x1 and y1 are empty where only sum1 of scores is wanted, and so on
};
template <typename T, typename A = Compute<T>>
struct AttentionSums {
  Matrix<T> history[2];  // where the history owns them
  A* links[2];           // partial sums (add_chunks_kernel) where links do
};

// Without bank conflicts by row and by column; the fragments' columns of y have two.
template <typename T>
using Square = Compute<T>[square][square + (by_tensor_cores<T> ? 4 : 1)];

// As it is multiplied.
template <typename T>
__device__ __forceinline__ Compute<T> multiplied(Compute<T> x) {
  if constexpr (by_tensor_cores<T>) {
    return __uint_as_float(to_tf32(x));
  } else {
    return x;
  }
}

// The elements of a square that are the thread's: (row(i), column(j)) for i, j = 0, 1.
template <typename T>
struct SquarePlace {
  static __device__ int row(int i) {
    if constexpr (by_tensor_cores<T>) {
      return first_row() + lane() / 4 + 8 * i;
    } else {
      return static_cast<int>(threadIdx.y) + 16 * i;
    }
  }
  static __device__ int column(int j) {
    if constexpr (by_tensor_cores<T>) {
      return first_column() + lane() % 4 * 2 + j;
    } else {
      return static_cast<int>(threadIdx.x) + 16 * j;
    }
  }
  // Of the warp's piece.
  static __device__ int first_row() { return static_cast<int>(thread_in_block()) / 128 * 16; }
  static __device__ int first_column() { return static_cast<int>(thread_in_block()) / warp_size % 4 * 8; }
  static __device__ int lane() { return static_cast<int>(thread_in_block()) % warp_size; }
};

// d += x y for 16 rows of x from `row`, 32 deep: d is as SquarePlace has it. y_at(k, n) is element k, n of
// the warp's 32 x 8 piece of y.
template <typename T, typename Y>
__device__ __forceinline__ void multiply_square(const Square<T>& x, int row, const Y& y_at, float (&d)[4]) {
  const int g = SquarePlace<T>::lane() / 4, t = SquarePlace<T>::lane() % 4;
#pragma unroll
  for (int k = 0; k < square; k += 8) {
    const auto bits = [](float v) { return __float_as_uint(v); };
    const uint32_t a[4] = {bits(x[row + g][k + t]), bits(x[row + g + 8][k + t]), bits(x[row + g][k + t + 4]),
                           bits(x[row + g + 8][k + t + 4])},
                   b[2] = {bits(y_at(k + t, g)), bits(y_at(k + t + 4, g))};
    mma_tf32(d, a, b);
  }
}

// 32 x 32 elements from (row, column) of m; zeros past `rows` rows and `columns` columns.
template <typename T>
__device__ void stage(const Matrix<const T>& m, int64_t row, int64_t rows, int64_t column, int64_t columns,
                      Square<T>& to) {
  for (uint32_t i = thread_in_block(); i < square * square; i += 256) {
    const uint32_t r = i / square, c = i % square;
    to[r][c] =
        r < rows && c < columns ? multiplied<T>(to_compute(m.row(row + r)[column + c])) : Compute<T>(0);
  }
}

// The rows of both sides that a block works on, and its first column.
struct SquareRows {
  int64_t x, x_rows, y, y_rows, column, width;
};

// s = x y^T for 32 rows of each, s[i][j] as SquarePlace has it. The squares are free after a barrier.
template <typename T, typename A = Compute<T>>
__device__ void score(const Matrix<const T>& x, const Matrix<const T>& y, const SquareRows& at, Square<T>& xs,
                      Square<T>& ys, A (&s)[2][2]) {
  using Place = SquarePlace<T>;
  s[0][0] = s[0][1] = s[1][0] = s[1][1] = 0;
  for (int64_t c = 0; c < at.width; c += square) {
    __syncthreads();  // the squares have been read
    stage(x, at.x, at.x_rows, at.column + c, at.width - c, xs);
    stage(y, at.y, at.y_rows, at.column + c, at.width - c, ys);
    __syncthreads();
    if constexpr (by_tensor_cores<T>) {
      const int column = Place::first_column();
      float d[4] = {s[0][0], s[0][1], s[1][0], s[1][1]};
      multiply_square<T>(
          xs, Place::first_row(), [&](int k, int n) { return ys[column + n][k]; }, d);
      s[0][0] = d[0], s[0][1] = d[1], s[1][0] = d[2], s[1][1] = d[3];
    } else {
#pragma unroll 8
      for (int k = 0; k < square; ++k)
#pragma unroll
        for (int i = 0; i < 2; ++i)
#pragma unroll
          for (int j = 0; j < 2; ++j) s[i][j] += xs[Place::row(i)][k] * ys[Place::column(j)][k];
    }
  }
}

// A block's sums, 32 x 64: sum[i][2 h + j] is of row(i) and column(j) of SquarePlace in square h.
template <typename A>
using BlockSums = A[2][4];

// sum += weights y for the 64 columns from `begin` of the head.
template <typename T, typename A = Compute<T>>
__device__ void accumulate(const Square<T>& weights, const Matrix<const T>& y, const SquareRows& at,
                           int64_t begin, Square<T>& ys, BlockSums<A>& sum) {
  using Place = SquarePlace<T>;
#pragma unroll  // sums are registers
  for (int half = 0; half < 2; ++half) {
    const int64_t c = begin + half * square;
    __syncthreads();  // the square has been read, the weights are written
    stage(y, at.y, at.y_rows, at.column + c, at.width - c, ys);
    __syncthreads();
    if constexpr (by_tensor_cores<T>) {
      const int column = Place::first_column();
      float(&s0)[4] = sum[0], (&s1)[4] = sum[1];
      float d[4] = {s0[2 * half], s0[2 * half + 1], s1[2 * half], s1[2 * half + 1]};
      multiply_square<T>(
          weights, Place::first_row(), [&](int k, int n) { return ys[k][column + n]; }, d);
      s0[2 * half] = d[0], s0[2 * half + 1] = d[1], s1[2 * half] = d[2], s1[2 * half + 1] = d[3];
    } else {
#pragma unroll 8
      for (int k = 0; k < square; ++k)
#pragma unroll
        for (int i = 0; i < 2; ++i)
#pragma unroll
          for (int j = 0; j < 2; ++j)
            sum[i][2 * half + j] += weights[Place::row(i)][k] * ys[k][Place::column(j)];
    }
  }
}

// Adds what rows [begin, begin + count) of y give to the sums of 64 columns from `first` of the head. `at`
// says which rows of x. Calls weigh(x, y, s, g, a, d) for each pair of row x of the block and row begin + y.
template <bool with0, bool with1, typename T, typename Weigh, typename A = Compute<T>>
__device__ void add_rows(const AttentionSides<T>& sides, SquareRows at, int64_t begin, int64_t count,
                         int64_t first, const Weigh& weigh, Square<T>& xs, Square<T>& ys, Square<T>& square0,
                         Square<T>& square1, BlockSums<A>& sum0, BlockSums<A>& sum1) {
  for (int64_t done = 0; done < count; done += square) {
    at.y = begin + done, at.y_rows = count - done;
    A s[2][2], g[2][2] = {};
    score(sides.x0, sides.y0, at, xs, ys, s);
    if constexpr (with0) score(sides.x1, sides.y1, at, xs, ys, g);
#pragma unroll
    for (int i = 0; i < 2; ++i) {
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        const int64_t x = SquarePlace<T>::row(i), y = SquarePlace<T>::column(j);
        A a = 0, d = 0;
        if (x < at.x_rows && y < at.y_rows) weigh(x, done + y, s[i][j], g[i][j], a, d);
        if constexpr (with0) square0[x][y] = multiplied<T>(d);
        if constexpr (with1) square1[x][y] = multiplied<T>(a);
      }
    }
    if constexpr (with0) accumulate(square0, sides.y0, at, first, ys, sum0);
    if constexpr (with1) accumulate(square1, sides.y1, at, first, ys, sum1);
  }
}

// Calls f(x, c, value) for those of the block's sums that exist: row x of the block, column c of the head.
template <typename T, typename A, typename F>
__device__ void each_sum(const BlockSums<A>& sum, const SquareRows& at, int64_t first, F f) {
#pragma unroll
  for (int i = 0; i < 2; ++i) {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const int64_t x = SquarePlace<T>::row(i), c = first + j / 2 * square + SquarePlace<T>::column(j % 2);
      if (x < at.x_rows && c < at.width) f(x, c, sum[i][j]);
    }
  }
}

// Weigh is given to the device by value; weigh.of(chunk, head), called once a block, returns what is called
// for each pair of a link and a history row:
//   void operator()(int64_t link, A s, A g, A& a, A& d) const
// Grid: chunks x 32 links each, or chunks of 32 rows; heads; 64 columns of a head each.
template <typename T, bool links_own, bool with0, bool with1, typename Weigh, typename A = Compute<T>>
__global__ void __launch_bounds__(256)
    attention_sums_kernel(Chunks chunks, int64_t links, int64_t width, AttentionSides<T> sides, Weigh weights,
                          AttentionSums<T> sums) {
  __shared__ Square<T> xs, ys, square0, square1;
  const int64_t link_blocks = links_own ? (links + square - 1) / square : 1,
                number = blockIdx.x / link_blocks, link0 = blockIdx.x % link_blocks * square;
  const Chunk chunk = chunks.find(number);
  if (chunk.rows() == 0) return;
  const int64_t first_link = chunk.request * links, first = int64_t{blockIdx.z} * sum_columns;
  const SquareRows at{links_own ? first_link + link0 : chunk.begin,
                      links_own ? links - link0 : chunk.rows(),
                      0,
                      0,
                      int64_t{blockIdx.y} * width,
                      width};
  const auto of_pair = weights.of(chunk, int64_t{blockIdx.y});
  BlockSums<A> sum0 = {}, sum1 = {};
  add_rows<with0, with1>(
      sides, at, links_own ? chunk.begin : first_link, links_own ? chunk.rows() : links, first,
      [&](int64_t x, int64_t y, A s, A g, A& a, A& d) { of_pair(links_own ? link0 + x : y, s, g, a, d); }, xs,
      ys, square0, square1, sum0, sum1);
  const auto write = [&](int which, const BlockSums<A>& sum) {
    each_sum<T>(sum, at, first, [&](int64_t x, int64_t c, A value) {
      if constexpr (links_own) {
        sums.links[which][(number * links + link0 + x) * width * gridDim.y + at.column + c] = value;
      } else {
        sums.history[which].row(at.x + x)[at.column + c] = from_compute<T>(value);
      }
    });
  };
  if constexpr (with0) write(0, sum0);
  if constexpr (with1) write(1, sum1);
}

// Launches it for one side; `chunks` of 32 rows where the history owns the sums.
template <typename T, bool links_own, bool with0, bool with1, typename Weigh>
void attention_sums(Context& ctx, const char* name, const Chunks& chunks, int64_t links, int64_t heads,
                    int64_t width, const AttentionSides<T>& sides, const Weigh& weights,
                    const AttentionSums<T>& sums) {
  const int64_t link_blocks = links_own ? divide_up(links, square) : 1;
  const dim3 grid(static_cast<uint32_t>(chunks.numbers() * link_blocks), static_cast<uint32_t>(heads),
                  divide_up(width, sum_columns));
  launch(ctx, name, attention_sums_kernel<T, links_own, with0, with1, Weigh>, grid, square_threads, 0, chunks,
         links, width, sides, weights, sums);
}

}  // namespace lime::cuda
