// The sums of sums_mma_cuda.h by products of warpgroups (sm_90a), for 64 or 128 links and heads of
// 32 or 64 columns: each product reads its right side once for four warps, and takes half the time.
//
// A block has one head of one chunk of one request's history, in one direction, and a warpgroup for each 64
// links. Links own 64 sums a warpgroup, in registers until the chunk ends.
//   * Forward down: each warpgroup passes over all rows of a tile, 64 at a time.
//   * Forward up: each has 64 rows of a tile, and passes over the links, 64 at a time.
//   * Backward: from a tile of 64 rows each warpgroup computes the scores of its links, adds to their
//     sums, and leaves the weights in shared memory, links by rows. Those of all links, transposed, are the
//     left side of the history's sums, of which a warpgroup makes one. So scores are computed once.
#pragma once

#include "layers/attention/sums_tiles_cuda.h"

namespace lime::cuda {

inline constexpr int wgmma_links = 64;  // of a warpgroup

// Scores of 64 rows and 64 others, and weights made of them, as a thread has them.
using GroupScores = float[32];
using GroupWeights = uint32_t[4][4];
// 64 x width sums.
template <int width>
using GroupSums = float[width / 2];
template <int width>
__device__ __forceinline__ RowSums<width>& of_warp(GroupSums<width>& sums) {
  return reinterpret_cast<RowSums<width>&>(sums);
}

template <int width>
__device__ __forceinline__ MatrixDescriptor describe_rows(Swizzled<width> m, int row) {
  return describe_matrix<2 * width>(shared_address(m.data) + static_cast<uint32_t>(2 * width * row));
}

// s = x y^T.
template <int width, typename X>
__device__ __forceinline__ void wgmma_scores(GroupScores& s, const X& x, MatrixDescriptor y) {
#pragma unroll
  for (int k = 0; k < width / 16; ++k) {
    if constexpr (std::is_same_v<X, MatrixDescriptor>) {
      wgmma<false, false>(s, x + 32 * k, y + 32 * k, k > 0);
    } else {
      wgmma<false>(s, x[k], y + 32 * k, k > 0);
    }
  }
}

// sum += a y, or sum = a y, for 64 rows of y.
template <int width>
__device__ __forceinline__ void wgmma_accumulate(GroupSums<width>& sum, const GroupWeights& a,
                                                 MatrixDescriptor y, bool add) {
#pragma unroll
  for (int k = 0; k < 4; ++k) wgmma<true>(sum, a[k], y + 16 * k * 2 * width, add || k > 0);
}

template <bool with0, bool with1, typename Weights, typename LinkOf>
__device__ __forceinline__ void weigh_group(const Weights& weights, const LinkOf& link, const GroupScores& s,
                                            const GroupScores& g, GroupWeights& a, GroupWeights& d) {
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    using Sixteen = const float[2][4];
    weights.template weigh<with0, with1>(link, reinterpret_cast<Sixteen&>(s[8 * k]),
                                         reinterpret_cast<Sixteen&>(g[8 * k]), a[k], d[k]);
  }
}

// A warp's weights to 16 rows of a matrix, from `row`.
__device__ __forceinline__ void store_weights(const GroupWeights& a, Swizzled<64> to, int row) {
  const int lane = thread_now() % warp_size;
  const SharedAddress first = to.address(row + lane % 16, lane / 16);
#pragma unroll
  for (int k = 0; k < 4; ++k) stmatrix(first ^ 32 * k, a[k]);
}

// Rows of a tile; elements of the weights of both sums in shared memory.
template <int groups, bool gradient>
inline constexpr int wgmma_tile_rows = gradient ? 64 : 64 * groups;
template <int groups, bool gradient>
inline constexpr int wgmma_shared_weights = gradient ? 2 * wgmma_links* groups * 64 : 0;

// One head of one chunk, in one direction.
template <int width, int groups, bool up, bool gradient, typename Weights>
__device__ void wgmma_chunk(const MmaCall& call, const Weights& weights, const MmaDirection& p) {
  using Plan = MmaPlan<up, gradient>;
  using Link = typename Weights::Link;
  using Tiles = HistoryTiles<width, wgmma_tile_rows<groups, gradient>, Plan::history_matrices, true>;
  constexpr int links = wgmma_links * groups;
  const HeadOfChunk block(call.chunks, call.heads);
  const Chunk& chunk = block.chunk;
  if (chunk.rows() == 0) return;
  const ChunkInShared<width, Plan, Tiles, Link, wgmma_shared_weights<groups, gradient>> shared(
      block, p, links, weights);
  const Swizzled<width>&links0 = shared.links0, &links1 = shared.links1;
  const Tiles& tiles = shared.tiles;
  // Computed when needed, not kept: the warpgroup, a warp's rows of its product, and these of all links, or
  // of the rows of `up`.
  const auto group = [] { return thread_now() / warpgroup_size; };
  const auto row_of_warp = [] { return thread_now() % warpgroup_size / warp_size * 16; };
  const auto mine = [] { return thread_now() / warp_size * 16; };
  const float factor1 = weights.factor(chunk, links, up);
  const auto factor_of = [&](int sum) { return sum == 0 ? weights.slope() * factor1 : factor1; };

  GroupSums<width> link_sum0 = {}, link_sum1 = {};
  LeftRows<width, true> x;  // of forward

  tiles.each([&](int row, int stage) {
    const Swizzled<width> h0 = tiles.tile(stage, 0), h1 = tiles.tile(stage, 1);
    const int valid = tiles.count - row, lane = static_cast<int>(threadIdx.x) % warp_size;
    const auto write = [&](int which, GroupSums<width>& sum, Swizzled<width> tile, int first) {
      write_history_sums(of_warp<width>(sum), factor_of(which), tile, first, p.history_sums[which],
                         chunk.begin + row + first, valid - first, shared.tiles.column);
    };
    // sum += A y1, A of x and 64 rows of y0, which are the links in `up` and the history in `down`.
    const auto forward = [&](MatrixDescriptor y0, MatrixDescriptor y1, GroupSums<width>& sum, bool add) {
      GroupScores s;
      GroupWeights a;
      products_begin(s, x.at);
      wgmma_scores<width>(s, x.at, y0);
      products_end(s, x.at);
      weigh_group<false, true>(
          weights, [](int, int) { return Link{}; }, s, s, a, a);
      products_begin(sum, a);
      wgmma_accumulate<width>(sum, a, y1, add);
      products_end(sum, a);
    };
    if constexpr (!gradient && !up) {
      if (row == 0) x.load(links0, mine());
#pragma unroll 1
      for (int r = 0; r < Tiles::rows && r < valid; r += 64)
        forward(describe_rows(h0, r), describe_rows(h1, r), link_sum1, true);
    } else if constexpr (!gradient) {
      if (wgmma_links * group() >= valid) return;
      x.load(h0, mine());
      GroupSums<width> sum;
#pragma unroll 1
      for (int i = 0; i < links; i += 64)
        forward(describe_rows(links0, i), describe_rows(links1, i), sum, i > 0);
      __syncwarp();  // all lanes have their fragments
      write(1, sum, h0, mine());
    } else {
      const Swizzled<64> weights0{shared.rest}, weights1{shared.rest + links * 64};
      GroupScores s, g;
      GroupWeights a, d;
      products_begin(s, g);
      wgmma_scores<width>(s, describe_rows(links0, wgmma_links * group()), describe_rows(h0, 0));
      wgmma_scores<width>(g, describe_rows(links1, wgmma_links * group()), describe_rows(h1, 0));
      products_end(s, g);
      const Link of_links[2] = {shared.link(mine() + lane / 4), shared.link(mine() + lane / 4 + 8)};
      weigh_group<true, true>(
          weights, [&](int i, int) { return of_links[i % 2]; }, s, g, a, d);
      store_weights(d, weights0, mine());
      if constexpr (Plan::history1) store_weights(a, weights1, mine());
      products_begin(link_sum0, link_sum1, a, d);  // which even read nobody may until the end
      wgmma_accumulate<width>(link_sum0, d, describe_rows(h0, 0), true);
      if constexpr (Plan::links1) wgmma_accumulate<width>(link_sum1, a, describe_rows(h1, 0), true);
      fence_for_products();
      products_end(link_sum0, link_sum1, a, d);
      __syncthreads();  // all weights are there, and the tile has been read
      const auto sum_rows = [&](int which, Swizzled<64> left, Swizzled<width> right, Swizzled<width> tile) {
        if (which % groups != group()) return;
        GroupSums<width> sum;
        products_begin(sum);
        const MatrixDescriptor l = describe_rows(left, 0), r = describe_rows(right, 0);
#pragma unroll
        for (int k = 0; k < links / 16; ++k)
          wgmma<true, true>(sum, l + 16 * k * 128, r + 16 * k * 2 * width, k > 0);
        products_end(sum);
        write(which, sum, tile, row_of_warp());
      };
      sum_rows(0, weights0, links0, h0);
      if constexpr (Plan::history1) sum_rows(1, weights1, links1, h1);
    }
  });
  if (!Plan::links_own) return;
  const auto finish = [&](int which, GroupSums<width>& sum) {
    const float f = factor_of(which);
    const int64_t first_link = chunk.request * links + mine();
    if (chunk.alone)  // nothing is left to add
      return add_link_sums<width>(of_warp<width>(sum), f, p.links_out[which], first_link, tiles.column);
    const int64_t d = call.heads * width;
    write_link_sums<width>(of_warp<width>(sum), f,
                           p.link_sums[which] + (block.number * links + mine()) * d + tiles.column, d);
  };
  if constexpr (gradient) finish(0, link_sum0);
  if constexpr (Plan::links1) finish(1, link_sum1);
}

// Blocks a multiprocessor that there shall be registers for.
constexpr int wgmma_blocks(int groups, bool gradient) { return (gradient ? 3 : 4) / groups; }

// Grid: heads of chunks (HeadOfChunk); directions (down, then up).
template <int width, int groups, bool gradient, typename Weights>
__global__ void __launch_bounds__(warpgroup_size* groups, wgmma_blocks(groups, gradient))
    attention_wgmma_kernel(MmaCall call, Weights weights) {
  if constexpr (compiled_for_wgmma) {
    if (!Weights::both || blockIdx.z == 0) {
      wgmma_chunk<width, groups, false, gradient>(call, weights, call.direction[0]);
    } else if constexpr (Weights::both) {
      wgmma_chunk<width, groups, true, gradient>(call, weights, call.direction[1]);
    }
  } else {
    refuse_to_run();
  }
}

// --- host

template <int width, bool gradient, typename Weights>
void launch_wgmma(Context& ctx, const char* name, bool both, const Weights& weights, const MmaCall& call) {
  const auto start = [&]<int groups>() {
    constexpr int links = wgmma_links * groups, tile = wgmma_tile_rows<groups, gradient>;
    constexpr int64_t rows = std::max(MmaPlan<false, gradient>::shared_rows(links, tile),
                                      MmaPlan<true, gradient>::shared_rows(links, tile));
    constexpr size_t bytes = (rows * width + wgmma_shared_weights<groups, gradient>)*sizeof(bf16) +
                             links * mma_known_bytes<Weights>();
    const dim3 grid(static_cast<uint32_t>(call.chunks.numbers() * call.heads), 1, both ? 2 : 1);
    launch(ctx, name, attention_wgmma_kernel<width, groups, gradient, Weights>, grid,
           dim3(warpgroup_size * groups), bytes, call, weights);
  };
  call.links == wgmma_links ? start.template operator()<1>() : start.template operator()<2>();
}

}  // namespace lime::cuda
