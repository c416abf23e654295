// Tiles of queries and keys for the tensor cores: how the kernels of query_attention_mma_kernel_cuda.h bring
// rows into registers and shared memory, mask pairs that do not exist, and write their sums.
#pragma once

#include "layers/attention/mma_cuda.h"

namespace lime::cuda {

inline constexpr int query_warps = 4, tile_rows = 64;
constexpr int block_rows(int groups) { return 16 * groups * query_warps; }

// Lane l has rows l / 4 + 8 (e / 2) and columns 8 h + 2 (l % 4) + e % 2 of a group's 16 x 16 scores, at
// s[h][e].
template <typename Exists>
__device__ __forceinline__ void mask_pairs(float (&s)[2][4], float nothing, Exists exists) {
  const int lane = static_cast<int>(threadIdx.x) % warp_size;
#pragma unroll
  for (int h = 0; h < 2; ++h)
#pragma unroll
    for (int e = 0; e < 4; ++e)
      if (!exists(lane / 4 + e / 2 * 8, h * 8 + lane % 4 * 2 + e % 2)) s[h][e] = nothing;
}

// Brings the block's rows of one or two matrices into registers, by way of `memory`, which is free then.
template <int matrices, int width, int groups>
__device__ void load_left_rows(bf16* memory, const Matrix<const bf16>& m0, const Matrix<const bf16>& m1,
                               int64_t row, int64_t column, int64_t valid,
                               LeftRows<width, true> (&x0)[groups], LeftRows<width, true> (&x1)[groups]) {
  constexpr int rows = block_rows(groups);
  const Swizzled<width> rows0{memory}, rows1{memory + rows * width};
  rows0.load(m0, row, column, rows, valid);
  if constexpr (matrices == 2) rows1.load(m1, row, column, rows, valid);
  copy_commit();
  copy_wait<0>();
  __syncthreads();
  const int warp = static_cast<int>(threadIdx.x) / warp_size;
#pragma unroll
  for (int g = 0; g < groups; ++g) {
    x0[g].load(rows0, (warp * groups + g) * 16);
    if constexpr (matrices == 2) x1[g].load(rows1, (warp * groups + g) * 16);
  }
  __syncthreads();
}

// Calls load(i, y0, y1), which starts copies, and use(i, y0, y1) for tiles 0 <= i < count of two matrices:
// the next is on its way while one is used. `memory` is free then.
template <int width, typename Load, typename Use>
__device__ __forceinline__ void each_tile(int count, bf16* memory, Load load, Use use) {
  const auto tile = [&](int i, int which) {
    return Swizzled<width>{memory + (i % 2 * 2 + which) * tile_rows * width};
  };
  if (count > 0) load(0, tile(0, 0), tile(0, 1));
  copy_commit();
#pragma unroll 1
  for (int i = 0; i < count; ++i) {
    copy_wait<0>();
    __syncthreads();  // the tile is there, and the other has been used
    if (i + 1 < count) load(i + 1, tile(i + 1, 0), tile(i + 1, 1));
    copy_commit();
    use(i, tile(i, 0), tile(i, 1));
  }
  __syncthreads();
}

// Writes the block's sums, of which `valid` rows exist, by way of `memory`.
template <int width, int groups>
__device__ void write_sums(const RowSums<width> (&sum)[groups], float factor, bf16* memory,
                           const Matrix<bf16>& out, int64_t row, int64_t valid, int64_t column) {
  const int warp = static_cast<int>(threadIdx.x) / warp_size;
#pragma unroll
  for (int g = 0; g < groups; ++g) {
    const int mine = (warp * groups + g) * 16;
    write_history_sums<width>(sum[g], factor, Swizzled<width>{memory}, mine, out, row + mine, valid - mine,
                              column);
  }
}

}  // namespace lime::cuda
