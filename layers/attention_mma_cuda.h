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

// Rows of `width` bf16 in shared memory, in pieces of 16 bytes that change places from row to row.
template <int width>
struct Swizzled {
  bf16* data;
  static constexpr int pieces = width / 8;
  static constexpr __host__ __device__ int place(int row, int piece) {
    return row * pieces + (piece ^ (pieces == 4 ? row / 2 % 4 : row % 8));
  }
  __device__ bf16* at(int row, int piece) const { return data + place(row, piece) * 8; }
  // Starts to copy `count` rows from (row, column) of m; zeros past `valid` rows.
  __device__ void load(const Matrix<const bf16>& m, int64_t row, int64_t column, int count,
                       int64_t valid) const {
    for (int i = static_cast<int>(threadIdx.x); i < count * pieces; i += static_cast<int>(blockDim.x)) {
      const int r = i / pieces, piece = i % pieces;
      const bool inside = r < valid;
      copy_async(at(r, piece), inside ? m.row(row + r) + column + piece * 8 : m.data, inside);
    }
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
  Swizzled<width> rows;
  int first;
  uint32_t at[held ? width / 16 : 1][4];

  __device__ void read(int k, uint32_t (&fragment)[4]) const {
    const int lane = static_cast<int>(threadIdx.x) % warp_size;
    ldmatrix(fragment, rows.at(first + lane % 16, 2 * k + lane / 16));
  }
  __device__ __forceinline__ void fragment(int k, uint32_t (&a)[4]) const {
    if constexpr (held) {
#pragma unroll
      for (int i = 0; i < 4; ++i) a[i] = at[k][i];
    } else {
      read(k, a);
    }
  }
  __device__ void load(Swizzled<width> from, int row) {
    rows = from, first = row;
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
#pragma unroll
  for (int k = 0; k < width / 16; ++k) {
    uint32_t b[4];
    ldmatrix(b, y.at(row + lane % 8 + lane / 16 * 8, 2 * k + lane / 8 % 2));
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

// Calls f(n, left, right) for each 16 columns of 16 rows of y from `row`: right operands of a y, eight
// columns each.
template <int width, typename F>
__device__ __forceinline__ void each_sum_operand(Swizzled<width> y, int row, F f) {
  const int lane = static_cast<int>(threadIdx.x) % warp_size;
#pragma unroll
  for (int n = 0; n < width / 16; ++n) {
    uint32_t b[4];
    ldmatrix_trans(b, y.at(row + lane % 16, 2 * n + lane / 16));
    f(2 * n, {b[0], b[1]}, {b[2], b[3]});
  }
}

// sum += a y for 16 rows of y from `row`.
template <int width>
__device__ __forceinline__ void mma_accumulate(const uint32_t (&a)[4], Swizzled<width> y, int row,
                                               RowSums<width>& sum) {
  each_sum_operand(y, row, [&](int n, const uint32_t(&left)[2], const uint32_t(&right)[2]) {
    mma_bf16(sum[n], a, left);
    mma_bf16(sum[n + 1], a, right);
  });
}
// ... for several groups of 16 rows of a, with one read of y.
template <int width, int groups>
__device__ __forceinline__ void mma_accumulate(const uint32_t (&a)[groups][4], Swizzled<width> y, int row,
                                               RowSums<width> (&sum)[groups]) {
  each_sum_operand(y, row, [&](int n, const uint32_t(&left)[2], const uint32_t(&right)[2]) {
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

// Writes the warp's sums to 16 rows of bf16, of which `valid` exist, by way of its own 16 rows from `mine` of
// a tile.
template <int width>
__device__ void write_history_sums(const RowSums<width>& sum, float factor, Swizzled<width> tile, int mine,
                                   const Matrix<bf16>& out, int64_t row, int64_t valid, int64_t column) {
  const int lane = static_cast<int>(threadIdx.x) % warp_size;
#pragma unroll
  for (int n = 0; n < width / 8; ++n) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const Pack<uint32_t, 1> pair{{pack_bf16(factor * sum[n][2 * half], factor * sum[n][2 * half + 1])}};
      store_pack(reinterpret_cast<uint32_t*>(tile.at(mine + lane / 4 + 8 * half, n)) + lane % 4, pair);
    }
  }
  __syncwarp();
  for (int i = lane; i < 16 * (width / 8); i += warp_size) {
    const int r = i / (width / 8), piece = i % (width / 8);
    if (r < valid) store_pack(out.row(row + r) + column + piece * 8, load_pack<8>(tile.at(mine + r, piece)));
  }
}

}  // namespace lime::cuda
