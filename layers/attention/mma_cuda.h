// What attention kernels with tensor cores share: rows of bf16 in shared memory, and warps that multiply
// them.
//
// A warp owns one or more groups of 16 rows of one side, x, and sums over the rows of the other, y. The
// fragments that it holds of the scores S = x y^T (mma_scores), and so of weights A made of them, are those
// of the left operand of A y (mma_accumulate): they never leave the registers.
#pragma once

#include "runtime/cuda_kernel_math.h"
#include "runtime/cuda_kernel_mma.h"

namespace lime::cuda {

// x, of which the compiler does not know that it stays the same: what is computed from it is computed anew,
// and not kept in registers, of which sums need all.
__device__ __forceinline__ int unknown(int x) {
#ifndef LIME_CUDA_EMULATED
  asm volatile("" : "+r"(x));
#endif
  return x;
}
// Below 1,024 and not negative, which saves divisions their corrections.
__device__ __forceinline__ int thread_now() { return unknown(static_cast<int>(threadIdx.x)) & 1023; }

// Rows of `width` bf16 in shared memory, in pieces of 16 bytes that change places from row to row. `data` is
// at a multiple of 256 bytes.
template <int width>
struct Swizzled {
  bf16* data;
  static constexpr int pieces = width / 8;
  static constexpr __host__ __device__ int place(int row, int piece) {
    return row * pieces + (piece ^ (pieces == 4 ? row >> 1 & 3 : row & 7));
  }
  __device__ bf16* at(int row, int piece) const { return data + place(row, piece) * 8; }
  // That of piece `first`, 0 or 1, of a row; that of piece first + 2n is `address(row, first) ^ 32 * n`.
  __device__ SharedAddress address(int row, int first) const { return shared_address(at(row, first)); }
  // Starts to copy `count` rows from (row, column) of m; zeros past `valid` rows. All threads of the block
  // call, of which there are a multiple of 128: a thread's pieces are at like places of every eighth row.
  __device__ void load(const Matrix<const bf16>& m, int64_t row, int64_t column, int count,
                       int64_t valid) const {
    const int thread = thread_now(), piece = thread % pieces, step = static_cast<int>(blockDim.x) / pieces;
    bf16* to = at(thread / pieces, piece);
    const bf16* from = m.row(row + thread / pieces) + column + piece * 8;
    for (int r = thread / pieces; r < count; r += step, to += step * width, from += step * m.stride)
      copy_async(to, r < valid ? from : m.data, r < valid);
  }
};

// Whether eight consecutive rows of ldmatrix have any one piece in different banks, of which 128 bytes are
// one round.
template <int width>
constexpr bool without_bank_conflicts() {
  for (int row = 0; row < 16; row += 8) {
    for (int piece = 0; piece < width / 8; ++piece) {
      unsigned banks = 0;
      for (int r = row; r < row + 8; ++r) banks |= 1u << Swizzled<width>::place(r, piece) % 8;
      if (banks != 0xff) return false;
    }
  }
  return true;
}
static_assert(without_bank_conflicts<32>() && without_bank_conflicts<64>() && without_bank_conflicts<128>());

// 16 rows as left operands: `held` in registers, or read from shared memory whenever they are needed.
template <int width, bool held>
struct LeftRows {
  SharedAddress first;
  uint32_t at[held ? width / 16 : 1][4];

  __device__ void read(int k, uint32_t (&fragment)[4]) const { ldmatrix(fragment, first ^ 32 * k); }
  __device__ __forceinline__ void fragment(int k, uint32_t (&a)[4]) const {
    if constexpr (held) {
#pragma unroll
      for (int i = 0; i < 4; ++i) a[i] = at[k][i];
    } else {
      read(k, a);
    }
  }
  __device__ void load(Swizzled<width> from, int row) {
    const int lane = thread_now() % warp_size;
    first = from.address(row + lane % 16, lane / 16);
    if constexpr (held) {
#pragma unroll
      for (int k = 0; k < width / 16; ++k) read(k, at[k]);
    }
  }
};

// 16 x width sums.
template <int width>
using RowSums = float[width / 8][4];

// Calls f(k, first, second) for each 16 columns of 16 rows of y from `row`: right operands of x y^T, `first`
// of the first eight rows, `second` of the others.
template <int width, typename F>
__device__ __forceinline__ void each_score_operand(Swizzled<width> y, int row, F f) {
  const int lane = static_cast<int>(threadIdx.x) % warp_size;
  const SharedAddress from = y.address(row + lane % 8 + lane / 16 * 8, lane / 8 % 2);
#pragma unroll
  for (int k = 0; k < width / 16; ++k) {
    uint32_t b[4];
    ldmatrix(b, from ^ 32 * k);
    f(k, {b[0], b[1]}, {b[2], b[3]});
  }
}

// s = x y^T for 16 rows of y from `row`: s[0] has the first eight, s[1] the others.
template <int width, bool held>
__device__ __forceinline__ void mma_scores(const LeftRows<width, held>& x, Swizzled<width> y, int row,
                                           float (&s)[2][4]) {
  each_score_operand(y, row, [&](int k, const uint32_t(&first)[2], const uint32_t(&second)[2]) {
    uint32_t a[4];
    x.fragment(k, a);
    mma_bf16(s[0], a, first);
    mma_bf16(s[1], a, second);
  });
}
// ... for several groups of 16 rows of x, with one read of y.
template <int width, bool held, int groups>
__device__ __forceinline__ void mma_scores(const LeftRows<width, held> (&x)[groups], Swizzled<width> y,
                                           int row, float (&s)[groups][2][4]) {
  each_score_operand(y, row, [&](int k, const uint32_t(&first)[2], const uint32_t(&second)[2]) {
#pragma unroll
    for (int g = 0; g < groups; ++g) {
      uint32_t a[4];
      x[g].fragment(k, a);
      mma_bf16(s[g][0], a, first);
      mma_bf16(s[g][1], a, second);
    }
  });
}

// Calls f(n, left, right) for each 16 of `columns` columns from `first` of 16 rows of y from `row`: right
// operands of a y, eight columns each.
template <int columns, int width, typename F>
__device__ __forceinline__ void each_sum_operand(Swizzled<width> y, int row, int first, F f) {
  const int lane = static_cast<int>(threadIdx.x) % warp_size;
  const SharedAddress from = y.address(row + lane % 16, lane / 16);
#pragma unroll
  for (int n = 0; n < columns / 16; ++n) {
    uint32_t b[4];
    ldmatrix_trans(b, from ^ 32 * (first / 16 + n));
    f(2 * n, {b[0], b[1]}, {b[2], b[3]});
  }
}

// sum += a y for 16 rows of y from `row`, and as many columns from `first` as there are sums.
template <int width, int eights>
__device__ __forceinline__ void mma_accumulate(const uint32_t (&a)[4], Swizzled<width> y, int row,
                                               float (&sum)[eights][4], int first = 0) {
  each_sum_operand<8 * eights>(y, row, first,
                               [&](int n, const uint32_t(&left)[2], const uint32_t(&right)[2]) {
                                 mma_bf16(sum[n], a, left);
                                 mma_bf16(sum[n + 1], a, right);
                               });
}
// ... for several groups of 16 rows of a, with one read of y.
template <int width, int groups>
__device__ __forceinline__ void mma_accumulate(const uint32_t (&a)[groups][4], Swizzled<width> y, int row,
                                               RowSums<width> (&sum)[groups]) {
  each_sum_operand<width>(y, row, 0, [&](int n, const uint32_t(&left)[2], const uint32_t(&right)[2]) {
#pragma unroll
    for (int g = 0; g < groups; ++g) {
      mma_bf16(sum[g][n], a[g], left);
      mma_bf16(sum[g][n + 1], a[g], right);
    }
  });
}

// a = SiLU(x) and d = SiLU'(x) g as left operands, for x = 2 half_slope s of a group of 16 rows and 16
// others: with the hardware's tanh, one instruction of the special function unit a score, as SiLU(x) = x/2 (1
// + tanh x/2).
template <bool with_gradient, bool with_weight>
__device__ __forceinline__ void mma_silu(float half_slope, const float (&s)[2][4], const float (&g)[2][4],
                                         uint32_t (&a)[4], uint32_t (&d)[4]) {
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    float weight[2], gradient[2];
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      const float h = half_slope * s[i / 2][i % 2 * 2 + j], t = fast_tanh(h);
      weight[j] = fmaf(h, t, h);
      // SiLU'(2h) = (1 + t)/2 + h (1 - t^2)/2
      if constexpr (with_gradient)
        gradient[j] = fmaf(0.5f, fmaf(h, fmaf(-t, t, 1.0f), t), 0.5f) * g[i / 2][i % 2 * 2 + j];
    }
    if constexpr (with_weight) a[i] = pack_bf16(weight[0], weight[1]);
    if constexpr (with_gradient) d[i] = pack_bf16(gradient[0], gradient[1]);
  }
}

// Writes the warp's sums to rows of f32.
template <int width>
__device__ void write_link_sums(const RowSums<width>& sum, float factor, float* first, int64_t stride) {
  const int lane = static_cast<int>(threadIdx.x) % warp_size;
#pragma unroll
  for (int n = 0; n < width / 8; ++n) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float* to = first + (lane / 4 + 8 * half) * stride + n * 8 + lane % 4 * 2;
      store_pack(to, Pack<float, 2>{{factor * sum[n][2 * half], factor * sum[n][2 * half + 1]}});
    }
  }
}

// Writes the warp's sums, of columns from `first` of a head, to 16 rows of bf16, of which `valid` exist, by
// way of its own 16 rows from `mine` of a tile.
template <int width, int eights>
__device__ void write_history_sums(const float (&sum)[eights][4], float factor, Swizzled<width> tile,
                                   int mine, const Matrix<bf16>& out, int64_t row, int valid, int64_t column,
                                   int first = 0) {
  const int lane = thread_now() % warp_size;
#pragma unroll
  for (int n = 0; n < eights; ++n) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const Pack<uint32_t, 1> pair{{pack_bf16(factor * sum[n][2 * half], factor * sum[n][2 * half + 1])}};
      bf16* to = tile.at(mine + lane / 4 + 8 * half, first / 8 + n);
      store_pack(reinterpret_cast<uint32_t*>(to) + lane % 4, pair);
    }
  }
  __syncwarp();
  constexpr int step = warp_size / eights;  // rows at a time
  const int piece = first / 8 + lane % eights, of_lane = lane / eights;
  bf16* to = out.row(row + of_lane) + column + piece * 8;
#pragma unroll
  for (int r = of_lane; r < 16; r += step, to += step * out.stride)
    if (r < valid) store_pack(to, load_pack<8>(tile.at(mine + r, piece)));
}

}  // namespace lime::cuda
