// Softmax attention of 32 rows over any number of keys, by a block of sums_cuda.h: running maximum
// m, sum s = sum of exp(x - m) and weighted sums, rescaled whenever m grows (Milakov & Gimelshein, arXiv
// 1805.02867).
#pragma once

#include "layers/attention/sums_cuda.h"
#include "runtime/cuda_kernel_math.h"

namespace lime::cuda {

// Of the block's rows, in shared memory.
template <typename A>
struct RunningSoftmax {
  A maximum[square], sum[square], factor[square];

  __device__ void begin(A lowest) {  // there is a barrier before they are used
    const uint32_t thread = thread_in_block();
    if (thread < square) maximum[thread] = lowest, sum[thread] = 0;
  }
};

// Takes `count` keys from row `begin` of k and v into the state and the weighted sums of 64 columns from
// `first` of the head. `at` says which rows of q. After the last call there is no barrier.
template <typename T, typename A = Compute<T>>
__device__ void add_softmax_rows(const Matrix<const T>& q, const Matrix<const T>& k, const Matrix<const T>& v,
                                 SquareRows at, int64_t begin, int64_t count, int64_t first, A slope,
                                 RunningSoftmax<A>& state, Square<T>& xs, Square<T>& ys, Square<T>& weights,
                                 BlockSums<A>& sums) {
  using Place = SquarePlace<T>;
  const uint32_t thread = thread_in_block(), lane = thread % warp_size, warp = thread / warp_size;
  for (int64_t done = 0; done < count; done += square) {
    at.y = begin + done, at.y_rows = count - done;
    A s[2][2];
    score(q, k, at, xs, ys, s);
#pragma unroll
    for (int i = 0; i < 2; ++i)
#pragma unroll
      for (int j = 0; j < 2; ++j) weights[Place::row(i)][Place::column(j)] = slope * s[i][j];
    __syncthreads();
    for (uint32_t x = warp; x < square; x += 256 / warp_size) {  // a key a lane
      const bool there = lane < at.y_rows;
      const A value = weights[x][lane], before = state.maximum[x], largest = warp_max(there ? value : before),
              top = before > largest ? before : largest;
      const A p = there ? exponential(value - top) : A(0), total = warp_sum(p);
      weights[x][lane] = multiplied<T>(p);
      __syncwarp();  // all lanes have read the maximum
      if (lane == 0) {
        state.factor[x] = exponential(before - top);
        state.sum[x] = state.factor[x] * state.sum[x] + total;
        state.maximum[x] = top;
      }
    }
    __syncthreads();
#pragma unroll
    for (int i = 0; i < 2; ++i)
#pragma unroll
      for (int j = 0; j < 4; ++j) sums[i][j] *= state.factor[Place::row(i)];
    accumulate(weights, v, at, first, ys, sums);
  }
}

}  // namespace lime::cuda
