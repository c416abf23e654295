// Sums of attention over a history with tensor cores: what a call is, and what its two kernels share. See
// sums_mma_cuda.h.
#pragma once

#include <type_traits>

#include "layers/attention/chunks_cuda.h"
#include "layers/attention/mma_cuda.h"
#include "runtime/cuda_kernel_wgmma.h"

namespace lime::cuda {

// One direction of a call. What it does not use is empty.
struct MmaDirection {
  Matrix<const bf16> links[2], history[2];  // y0, y1 for one owner are x0, x1 for the other
  Matrix<bf16> history_sums[2];
  float* link_sums[2];        // partial, add_chunks_kernel
  Matrix<bf16> links_out[2];  // ... and where they go in the end
};
struct MmaCall {
  Chunks chunks;
  int64_t heads, links;
  MmaDirection direction[2];  // down, up: gridDim.z of them
};

// What makes weights of scores, given to the device by value:
//   static constexpr bool both                   whether there is a direction up
//   struct Link                                  what it knows of a link; may be empty
//   Link link(chunk, head, i)                    ... that of link i of the chunk's request
//   float factor(chunk, links, up), slope()      sum1 is multiplied by the one, sum0 by both
//   weigh<with0, with1>(link, s, g, a, d)        A of sum1 and D of sum0, without these factors, as left
//                                                operands, of 16 x 16 scores S and gradients G; link(i, j)
//                                                is the Link of number j of register i. Rows of zeros in
//                                                the history must not give what is not finite.

// Bytes of what they know of a link.
template <typename Weights>
constexpr size_t mma_known_bytes() {
  return std::is_empty_v<typename Weights::Link> ? 0 : sizeof(typename Weights::Link);
}

// Which sums an owner makes, and which matrices a direction reads.
template <bool up, bool gradient>
struct MmaPlan {
  static constexpr bool links_own = gradient || !up, history_owns = gradient || up;
  static constexpr bool links1 = gradient == up, history1 = gradient != up;  // sum1; sum0 is for gradients
  static constexpr int link_matrices = gradient || up ? 2 : 1, history_matrices = gradient || !up ? 2 : 1;

  static constexpr int64_t shared_rows(int64_t links, int64_t tile) {
    return link_matrices * links + 2 * history_matrices * tile;
  }
};

// Adds the warp's sums to rows of bf16.
template <int width>
__device__ void add_link_sums(const RowSums<width>& sum, float factor, const Matrix<bf16>& out, int64_t row,
                              int64_t column) {
  const int lane = static_cast<int>(threadIdx.x) % warp_size;
#pragma unroll
  for (int n = 0; n < width / 8; ++n) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      bf16* to = out.row(row + lane / 4 + 8 * half) + column + n * 8 + lane % 4 * 2;
      Pack<bf16, 2> pair = load_pack<2>(to);
#pragma unroll
      for (int i = 0; i < 2; ++i)
        pair.at[i] = from_compute<bf16>(to_compute(pair.at[i]) + factor * sum[n][2 * half + i]);
      store_pack(to, pair);
    }
  }
}

// The head and the chunk of this block, of heads * numbers: the heads of a chunk run side by side, so that
// whole rows of memory are read and written at about the same time, not pieces of the width of a head.
struct HeadOfChunk {
  int64_t number;
  int head;
  Chunk chunk;
  __device__ HeadOfChunk(const Chunks& chunks, int64_t heads)
      : number(blockIdx.x / static_cast<uint32_t>(heads)),
        head(static_cast<int>(blockIdx.x % static_cast<uint32_t>(heads))),
        chunk(chunks.find(number)) {}
};

// Two tiles of `rows` rows of `matrices` matrices of the history in shared memory: one is computed while the
// next arrives; by products of warpgroups, if `for_products`.
template <int width, int rows_, int matrices, bool for_products = false>
struct HistoryTiles {
  static constexpr int rows = rows_;
  bf16* memory;
  Matrix<const bf16> from[2];
  int64_t first;  // of the chunk's rows
  int count, column;

  __device__ Swizzled<width> tile(int stage, int which) const {
    return {memory + (stage * matrices + (which < matrices ? which : matrices - 1)) * rows * width};
  }
  __device__ void load(int row, int stage) const {
#pragma unroll
    for (int m = 0; m < matrices; ++m) tile(stage, m).load(from[m], first + row, column, rows, count - row);
  }
  // Calls f(row, stage) for the first row of each tile, in order, which the whole block has then.
  template <typename F>
  __device__ void each(F f) const {
    for (int row = 0, stage = 0; row < count; row += rows, stage ^= 1) {
      copy_wait<0>();
      if constexpr (for_products) fence_for_products();
      __syncthreads();  // the tile is there, and the other has been read and written
      if (row + rows < count) load(row + rows, stage ^ 1);
      copy_commit();
      f(row, stage);
    }
  }
};

// What a block has of its chunk in shared memory: the links' matrices and two tiles, of which the first is on
// its way, `more` bf16, and what the weights know of links.
template <int width, typename Plan, typename Tiles, typename Link, int more = 0>
struct ChunkInShared {
  Swizzled<width> links0, links1;
  Tiles tiles;
  bf16* rest;
  Link* known;

  // All threads of the block call; the barrier of the first tile makes it theirs.
  template <typename Weights>
  __device__ ChunkInShared(const HeadOfChunk& block, const MmaDirection& p, int links,
                           const Weights& weights) {
    const Chunk& chunk = block.chunk;
    bf16* memory = dynamic_shared<bf16>();
    const auto take = [&](int rows) {
      bf16* part = memory;
      memory += rows * width;
      return part;
    };
    const int column = block.head * width;
    links0.data = take(links), links1.data = Plan::link_matrices == 2 ? take(links) : links0.data;
    tiles = {take(2 * Plan::history_matrices * Tiles::rows),
             {p.history[0], p.history[1]},
             chunk.begin,
             static_cast<int>(chunk.rows()),
             column};
    links0.load(p.links[0], chunk.request * links, column, links, links);
    if (Plan::link_matrices == 2) links1.load(p.links[1], chunk.request * links, column, links, links);
    tiles.load(0, 0);
    copy_commit();
    rest = memory;
    known = reinterpret_cast<Link*>(rest + more);
    if constexpr (!std::is_empty_v<Link>)
      for (int i = static_cast<int>(threadIdx.x); i < links; i += static_cast<int>(blockDim.x))
        known[i] = weights.link(chunk, block.head, i);
  }
  __device__ Link link(int i) const {
    if constexpr (std::is_empty_v<Link>) {
      return {};
    } else {
      return known[i];
    }
  }
};

}  // namespace lime::cuda
