// The sums of attention_sums_cuda.h with tensor cores, for rows of bf16, given what makes weights of scores.
// Included by the files that instantiate it.
//
// A block has one head of one chunk of one request's history, in one direction. The links' two matrices stay
// in shared memory; tiles of 16 history rows a warp arrive by asynchronous copies, the next while one is
// computed. Each row of each matrix is read once: `up` needs Q (and dO) of the history, `down` needs K and V.
// From a tile
//   * each warp owns 16 links, and sums over the tile's rows in registers until the chunk ends; where there
//     are fewer links than warps can own, several warps share the rows
//   * then each warp owns 16 history rows, and sums over all links; the sums replace its rows in the tile,
//     from where they are written as whole rows
// Forward takes the first of these for `down`, the second for `up`; backward both for both, so that scores
// are computed once for either owner and never leave the registers: the fragments of S = x0 y0^T that a warp
// holds are those of the left operand of S y.
//
// Scores are f32; A and D are rounded to bf16 for the second product, sums are f32.
//
// A block has 4 warps up to 64 links and 8 up to 128. Its shared memory holds 1 or 2 matrices of links and
// two tiles of 1 or 2 matrices, swizzled. In backward, what a thread holds decides how many blocks a
// multiprocessor has. Sums of links stay in registers while those of the history are computed: for heads of
// 128 these are made 64 columns at a time, from weights that are computed once and held for all links.
// docs/performance.md has the registers.
#pragma once

#include <algorithm>
#include <initializer_list>
#include <type_traits>

#include "layers/attention_chunks_cuda.h"
#include "layers/attention_mma_cuda.h"

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

// Two tiles of `matrices` matrices of history rows in shared memory: one is computed while the next arrives.
template <int width, int warps, int matrices>
struct HistoryTiles {
  static constexpr int rows = 16 * warps;
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
      __syncthreads();  // the tile is there, and the other has been read and written
      if (row + rows < count) load(row + rows, stage ^ 1);
      copy_commit();
      f(row, stage);
    }
  }
};

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
  using Tiles = HistoryTiles<width, warps, Plan::history_matrices>;
  // As many as there are registers for.
  constexpr bool held = !gradient || width < 128, weights_first = width == 128 || (width == 64 && warps == 4);
  const HeadOfChunk block(call.chunks, call.heads);
  const Chunk& chunk = block.chunk;
  if (chunk.rows() == 0) return;
  const int request = static_cast<int>(chunk.request), links = static_cast<int>(call.links),
            lane = static_cast<int>(threadIdx.x) % warp_size, column = block.head * width;
  const float factor1 = weights.factor(chunk, links, up);
  const auto factor_of = [&](int sum) { return sum == 0 ? weights.slope() * factor1 : factor1; };

  // Shared memory: links, two tiles, then what the weights know of links.
  bf16* memory = dynamic_shared<bf16>();
  const auto take = [&](int rows) {
    bf16* part = memory;
    memory += rows * width;
    return part;
  };
  const Swizzled<width> links0{take(links)}, links1{Plan::link_matrices == 2 ? take(links) : links0.data};
  const Tiles tiles{take(2 * Plan::history_matrices * Tiles::rows),
                    {p.history[0], p.history[1]},
                    chunk.begin,
                    static_cast<int>(chunk.rows()),
                    column};
  links0.load(p.links[0], int64_t{request} * links, column, links, links);
  if (Plan::link_matrices == 2) links1.load(p.links[1], int64_t{request} * links, column, links, links);
  tiles.load(0, 0);
  copy_commit();
  auto* known = reinterpret_cast<Link*>(memory);
  if constexpr (!std::is_empty_v<Link>)
    for (int i = static_cast<int>(threadIdx.x); i < links; i += 32 * warps)
      known[i] = weights.link(chunk, block.head, i);
  const auto link_at = [&](int i) {
    if constexpr (std::is_empty_v<Link>) {
      return Link{};
    } else {
      return known[i];
    }
  };

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
      const Link mine[2] = {link_at(first_link + lane / 4), link_at(first_link + lane / 4 + 8)};
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
        for (int k = 0; k < 4; ++k) at[k / 2][k % 2] = link_at(i + k / 2 * 8 + lane % 4 * 2 + k % 2);
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

// --- host
// ---------------------------------------------------------------------------------------------------------------

inline constexpr int64_t most_mma_links = 128;
constexpr int mma_warps(int64_t links) { return links <= 64 ? 4 : 8; }
// Partial sums a chunk: warps that share its rows.
constexpr int64_t mma_parts(int64_t links) { return mma_warps(links) / (links / 16); }

// Of a call in one or both directions, with `known` bytes a link.
template <bool gradient>
size_t mma_shared_bytes(int64_t links, int64_t width, bool both, size_t known) {
  const int64_t tile = 16 * mma_warps(links), down = MmaPlan<false, gradient>::shared_rows(links, tile),
                up = both ? MmaPlan<true, gradient>::shared_rows(links, tile) : 0;
  return static_cast<size_t>(std::max(down, up) * width) * sizeof(bf16) + static_cast<size_t>(links) * known;
}
template <typename Weights>
constexpr size_t mma_known_bytes() {
  return std::is_empty_v<typename Weights::Link> ? 0 : sizeof(typename Weights::Link);
}

// Whether the kernel takes heads of `width` columns and `links`, on this device, and all of these views.
template <bool gradient, typename Weights>
bool takes_mma(const Context& ctx, int64_t links, int64_t width, bool both,
               std::initializer_list<const ConstView*> views) {
  bool takes =
      (width == 32 || width == 64 || width == 128) && links % 16 == 0 && links <= most_mma_links &&
      mma_shared_bytes<gradient>(links, width, both, mma_known_bytes<Weights>()) <= most_shared_bytes(ctx);
  for (const ConstView* v : views)
    takes = takes && (v->empty() || (v->dtype() == DType::bf16 && whole_packs(*v)));
  return takes;
}

template <int width, bool gradient, typename Weights>
void launch_mma(Context& ctx, const char* name, bool both, const Weights& weights, const MmaCall& call) {
  const auto start = [&]<int warps>() {
    const dim3 grid(static_cast<uint32_t>(call.chunks.numbers() * call.heads), 1, both ? 2 : 1);
    launch(ctx, name, attention_mma_kernel<width, warps, gradient, Weights>, grid, dim3(32 * warps),
           mma_shared_bytes<gradient>(call.links, width, both, mma_known_bytes<Weights>()), call, weights);
  };
  mma_warps(call.links) == 4 ? start.template operator()<4>() : start.template operator()<8>();
}

template <bool gradient, typename Weights>
void launch_mma(Context& ctx, const char* name, int64_t width, bool both, const Weights& weights,
                const MmaCall& call) {
  width == 32   ? launch_mma<32, gradient>(ctx, name, both, weights, call)
  : width == 64 ? launch_mma<64, gradient>(ctx, name, both, weights, call)
                : launch_mma<128, gradient>(ctx, name, both, weights, call);
}

}  // namespace lime::cuda
