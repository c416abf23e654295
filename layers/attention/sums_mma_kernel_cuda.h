// The sums of sums_mma_cuda.h by products of warps (sm_80 and later).
//
// A block has one head of one chunk of one request's history, in one direction. From a tile of 16 history
// rows a warp
//   * each warp owns 16 links, and sums over the tile's rows in registers until the chunk ends; where there
//     are fewer links than warps can own, several warps share the rows
//   * then each warp owns 16 history rows, and sums over all links; the sums replace its rows in the tile,
//     from where they are written as whole rows
// Forward takes the first of these for `down`, the second for `up`; backward both for both, so that scores
// are computed once for either owner and never leave the registers: the fragments of S = x0 y0^T that a warp
// holds are those of the left operand of S y.
//
// A block has 4 warps up to 64 links and 8 up to 128. Its shared memory holds 1 or 2 matrices of links and
// two tiles of 1 or 2 matrices, swizzled. In backward, what a thread holds decides how many blocks a
// multiprocessor has. Sums of links stay in registers while those of the history are computed: for heads of
// 128 these are made 64 columns at a time, from weights that are computed once and held for all links.
// docs/gpu_counts.md has the registers.
#pragma once

#include "layers/attention/sums_tiles_cuda.h"

namespace lime::cuda {

// What a warp owns of the links: sixteen from first_link, over each parts-th sixteen rows of a tile from
// number `part`; nothing if part >= parts. Computed when needed, not kept.
struct LinkOwner {
  int first_link, part, parts;
};
template <int warps>
__device__ __forceinline__ LinkOwner link_owner(int links) {
  const int warp = thread_now() / warp_size, groups = links / 16;
  return {warp % groups * 16, warp / groups, warps / groups};
}

// One head of one chunk, in one direction.
template <int width, int warps, bool up, bool gradient, typename Weights>
__device__ void mma_chunk(const MmaCall& call, const Weights& weights, const MmaDirection& p) {
  using Plan = MmaPlan<up, gradient>;
  using Link = typename Weights::Link;
  using Tiles = HistoryTiles<width, 16 * warps, Plan::history_matrices>;
  // As many as there are registers for.
  constexpr bool held = !gradient || width < 128, weights_first = width == 128 || (width == 64 && warps == 4);
  const HeadOfChunk block(call.chunks, call.heads);
  const Chunk& chunk = block.chunk;
  if (chunk.rows() == 0) return;
  const int request = static_cast<int>(chunk.request), links = static_cast<int>(call.links),
            lane = static_cast<int>(threadIdx.x) % warp_size, column = block.head * width;
  const float factor1 = weights.factor(chunk, links, up);
  const auto factor_of = [&](int sum) { return sum == 0 ? weights.slope() * factor1 : factor1; };

  const ChunkInShared<width, Plan, Tiles, Link> shared(block, p, links, weights);
  const Swizzled<width>&links0 = shared.links0, &links1 = shared.links1;
  const Tiles& tiles = shared.tiles;

  LeftRows<width, held> x0, x1;
  RowSums<width> link_sum0 = {}, link_sum1 = {};

  tiles.each([&](int row, int stage) {
    const Swizzled<width> h0 = tiles.tile(stage, 0), h1 = tiles.tile(stage, 1);
    const int valid = tiles.count - row;
    if (const auto [first_link, part, parts] = link_owner<warps>(links); Plan::links_own && part < parts) {
      if (gradient || row == 0) {
        x0.load(links0, first_link);
        if constexpr (gradient) x1.load(links1, first_link);
      }
      const Link mine[2] = {shared.link(first_link + lane / 4), shared.link(first_link + lane / 4 + 8)};
#pragma unroll 1
      for (int r = part * 16; r < Tiles::rows && r < valid; r += parts * 16) {
        float s[2][4] = {}, g[2][4] = {};
        uint32_t a[4], d[4];
        mma_scores(x0, h0, r, s);
        if constexpr (gradient) mma_scores(x1, h1, r, g);
        weights.template weigh<gradient, Plan::links1>([&](int i, int) { return mine[i % 2]; }, s, g, a, d);
        if constexpr (gradient) mma_accumulate(d, h0, r, link_sum0);
        if constexpr (Plan::links1) mma_accumulate(a, h1, r, link_sum1);
      }
    }
    if constexpr (Plan::history_owns) {
      if constexpr (Plan::links_own) __syncthreads();  // rows are about to be overwritten
      const int first = thread_now() / warp_size * 16;
      if (first >= valid) return;
      LeftRows<width, held> own0, own1;
      own0.load(h0, first);
      if constexpr (gradient) own1.load(h1, first);
      const int zero = unknown(0);
      const auto weigh = [&](int i, uint32_t(&a)[4], uint32_t(&d)[4]) {
        float s[2][4] = {}, g[2][4] = {};
        mma_scores(own0, links0, zero + i, s);
        if constexpr (gradient) mma_scores(own1, links1, zero + i, g);
        Link at[2][2];
#pragma unroll
        for (int k = 0; k < 4; ++k) at[k / 2][k % 2] = shared.link(i + k / 2 * 8 + lane % 4 * 2 + k % 2);
        weights.template weigh<gradient, Plan::history1>([&](int k, int j) { return at[k / 2][j]; }, s, g, a,
                                                         d);
      };
      const auto write = [&](int which, const auto& sum, int c) {
        write_history_sums(sum, factor_of(which), which == 0 || !gradient ? h0 : h1, first,
                           p.history_sums[which], chunk.begin + row + first, valid - first, column, c);
      };
      if constexpr (weights_first) {
        // All weights first, then 64 columns after the others: few sums are alive at a time.
        constexpr int most_groups = warps, columns = 64;
        uint32_t a[most_groups][4], d[most_groups][4];
#pragma unroll
        for (int i = 0; i < most_groups; ++i) {
          if (16 * i >= links) break;
          weigh(16 * i, a[i], d[i]);
        }
        __syncwarp();  // all lanes have their fragments
        const auto finish = [&](int which, const uint32_t(&weight)[most_groups][4], Swizzled<width> y) {
#pragma unroll
          for (int c = 0; c < width; c += columns) {
            RowSums<columns> sum = {};
#pragma unroll
            for (int i = 0; i < most_groups; ++i) {
              if (16 * i >= links) break;
              mma_accumulate(weight[i], y, zero + 16 * i, sum, c);
            }
            write(which, sum, c);
          }
        };
        if constexpr (gradient) finish(0, d, links0);
        if constexpr (Plan::history1) finish(1, a, links1);
      } else {
        RowSums<width> sum0 = {}, sum1 = {};
#pragma unroll 1
        for (int i = 0; i < links; i += 16) {
          uint32_t a[4], d[4];
          weigh(i, a, d);
          if constexpr (gradient) mma_accumulate(d, links0, zero + i, sum0);
          if constexpr (Plan::history1) mma_accumulate(a, links1, zero + i, sum1);
        }
        __syncwarp();  // all lanes have their fragments
        if constexpr (gradient) write(0, sum0, 0);
        if constexpr (Plan::history1) write(1, sum1, 0);
      }
    }
  });
  const LinkOwner mine = link_owner<warps>(links);
  if (!Plan::links_own || mine.part >= mine.parts) return;
  const auto finish = [&](int which, const RowSums<width>& sum) {
    const float f = factor_of(which);
    if (mine.parts == 1 && chunk.alone)  // nothing is left to add
      return add_link_sums<width>(sum, f, p.links_out[which], int64_t{request} * links + mine.first_link,
                                  column);
    const int64_t d = call.heads * width;
    const int64_t row = (block.number * mine.parts + mine.part) * links + mine.first_link;
    write_link_sums<width>(sum, f, p.link_sums[which] + row * d + column, d);
  };
  if constexpr (gradient) finish(0, link_sum0);
  if constexpr (Plan::links1) finish(1, link_sum1);
}

// Blocks a multiprocessor that there shall be registers for: as many threads as can have their sums there.
constexpr int mma_blocks(int width, int warps, bool gradient) {
  const int sums = (gradient ? 2 : 1) * width;
  return (sums <= 64 ? 512 : sums <= 128 && gradient ? 384 : 256) / (32 * warps);
}

// Grid: heads of chunks (HeadOfChunk); directions (down, then up).
template <int width, int warps, bool gradient, typename Weights>
__global__ void __launch_bounds__(32 * warps, mma_blocks(width, warps, gradient))
    attention_mma_kernel(MmaCall call, Weights weights) {
  if (!Weights::both || blockIdx.z == 0) {
    mma_chunk<width, warps, false, gradient>(call, weights, call.direction[0]);
  } else if constexpr (Weights::both) {
    mma_chunk<width, warps, true, gradient>(call, weights, call.direction[1]);
  }
}

}  // namespace lime::cuda
