// XOR attention of bf16 rows with tensor cores: the kernel. Included by the files that instantiate it,
// xor_attention_mma_cuda.cu and xor_attention_mma_backward_cuda.cu.
//
// The sums are those of attention_sums_cuda.h. A block has one head of one chunk of one request's history, in
// one direction. The links' two matrices stay in shared memory; tiles of 16 history rows a warp arrive by
// asynchronous copies, the next while one is computed. Each row of each matrix is read once: `up` needs Q
// (and dO) of the history, `down` needs K and V. From a tile
//   * each warp owns 16 links, and sums over the tile's rows in registers until the chunk ends; where there
//     are fewer links than warps can own, several warps share the rows
//   * then each warp owns 16 history rows, and sums over all links; the sums replace its rows in the tile,
//     from where they are written as whole rows
// Forward takes the first of these for `down`, the second for `up`; backward both for both, so that scores
// are computed once for either owner and never leave the registers: the fragments of S = x0 y0^T that a warp
// holds are those of the left operand of S y.
//
// Scores are f32; A and D are rounded to bf16 for the second product, sums are f32. SiLU(x) = x/2 (1 + tanh
// x/2) with the hardware's tanh: one instruction of the special function unit a score.
//
// A block has 4 warps up to 64 links and 8 up to 128. Its shared memory holds 1 or 2 matrices of links and
// two tiles of 1 or 2 matrices, swizzled. With as many links as fit, and what the compiler says for sm_90a:
//   w    warps      forward: KB, registers, blocks an SM      backward
//   32   4, 8       20, 40 KB      90      4, 2               24, 48 KB     128           4, 2
//   64   4, 8       40, 80 KB      128     4, 2               48, 96 KB     168, 243      3, 1
//   128  4, 8       80, 160 KB     232     2, 1               96, 192 KB    255           2, 1
// Backward of w = 64 (4 warps) and 128 keeps some sums of links in local memory while it computes those of
// the history.
#pragma once

#include <algorithm>
#include <initializer_list>

#include "layers/attention_chunks_cuda.h"
#include "layers/attention_mma_cuda.h"
#include "layers/xor_attention.h"
#include "runtime/cuda_kernel_math.h"
#include "runtime/cuda_kernel_mma.h"

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
  int64_t links;
  float half_slope;           // 1 / (2 sqrt(w))
  MmaDirection direction[2];  // down, up: gridDim.z of them
};

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

// Adds what 16 rows of y give to the sums of the warp's 16 rows of x. Factors are left to the end. Rows of
// zeros give nothing: SiLU(0) = 0, and the gradient of their score is 0.
template <bool with0, bool with1, int width, bool held>
__device__ __forceinline__ void mma_add_rows(const LeftRows<width, held>& x0, const LeftRows<width, held>& x1,
                                             Swizzled<width> y0, Swizzled<width> y1, int row,
                                             float half_slope, RowSums<width>& sum0, RowSums<width>& sum1) {
  float s[2][4] = {}, g[2][4] = {};
  mma_scores(x0, y0, row, s);
  if constexpr (with0) mma_scores(x1, y1, row, g);
  uint32_t a[4], d[4];
  mma_silu<with0, with1>(half_slope, s, g, a, d);
  if constexpr (with0) mma_accumulate(d, y0, row, sum0);
  if constexpr (with1) mma_accumulate(a, y1, row, sum1);
}

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

// One head of one chunk, in one direction.
template <int width, int warps, bool up, bool gradient>
__device__ void mma_chunk(const MmaCall& call, const MmaDirection& p) {
  using Plan = MmaPlan<up, gradient>;
  constexpr int tile = 16 * warps;
  constexpr bool held = !gradient || width < 128;  // as many as there are registers for
  const Chunk chunk = call.chunks.find(blockIdx.x);
  if (chunk.rows() == 0) return;
  const int links = static_cast<int>(call.links), warp = static_cast<int>(threadIdx.x) / warp_size;
  const int64_t column = int64_t{blockIdx.y} * width, d = int64_t{gridDim.y} * width;
  const float factor = 1.0f / static_cast<float>(up ? call.links : chunk.length),
              slope_factor = 2 * call.half_slope * factor;

  // Shared memory: links, then two tiles.
  bf16* memory = dynamic_shared<bf16>();
  const auto take = [&](int rows) {
    const Swizzled<width> part{memory};
    memory += rows * width;
    return part;
  };
  const Swizzled<width> links0 = take(links), links1 = Plan::link_matrices == 2 ? take(links) : links0;
  const Swizzled<width> tiles = take(0);
  const auto tile0 = [&](int stage) {
    return Swizzled<width>{tiles.data + stage * Plan::history_matrices * tile * width};
  };
  const auto tile1 = [&](int stage) {
    return Swizzled<width>{tile0(stage).data + (Plan::history_matrices - 1) * tile * width};
  };
  const auto load_tile = [&](int64_t row, int stage) {
    const int64_t valid = chunk.end - row;
    tile0(stage).load(p.history[0], row, column, tile, valid);
    if (Plan::history_matrices == 2) tile1(stage).load(p.history[1], row, column, tile, valid);
  };
  links0.load(p.links[0], chunk.request * links, column, links, links);
  if (Plan::link_matrices == 2) links1.load(p.links[1], chunk.request * links, column, links, links);
  load_tile(chunk.begin, 0);
  copy_commit();

  // As an owner of links: which, and which sixteens of a tile's rows.
  const int groups = links / 16, parts = warps / groups, group = warp % groups, part = warp / groups;
  const bool owns_links = Plan::links_own && part < parts;
  LeftRows<width, held> x0, x1;
  RowSums<width> link_sum0 = {}, link_sum1 = {};

  int stage = 0;
  for (int64_t row = chunk.begin; row < chunk.end; row += tile, stage ^= 1) {
    copy_wait<0>();
    __syncthreads();  // the tile is there, and the other has been read and written
    if (row + tile < chunk.end) load_tile(row + tile, stage ^ 1);
    copy_commit();
    const Swizzled<width> h0 = tile0(stage), h1 = tile1(stage);
    const int64_t valid = chunk.end - row;
    if (owns_links) {
      if (gradient || row == chunk.begin) {
        x0.load(links0, group * 16);
        if constexpr (gradient) x1.load(links1, group * 16);
      }
#pragma unroll 1
      for (int r = part * 16; r < tile && r < valid; r += parts * 16)
        mma_add_rows<gradient, Plan::links1>(x0, x1, h0, h1, r, call.half_slope, link_sum0, link_sum1);
    }
    if constexpr (Plan::history_owns) {
      if constexpr (Plan::links_own) __syncthreads();  // rows are about to be overwritten
      const int mine = warp * 16;
      if (mine >= valid) continue;
      LeftRows<width, held> own0, own1;
      own0.load(h0, mine);
      if constexpr (gradient) own1.load(h1, mine);
      RowSums<width> sum0 = {}, sum1 = {};
#pragma unroll 1
      for (int i = 0; i < links; i += 16)
        mma_add_rows<gradient, Plan::history1>(own0, own1, links0, links1, i, call.half_slope, sum0, sum1);
      __syncwarp();  // all lanes have their fragments
      if constexpr (gradient)
        write_history_sums(sum0, slope_factor, h0, mine, p.history_sums[0], row + mine, valid - mine, column);
      if constexpr (Plan::history1)
        write_history_sums(sum1, factor, gradient ? h1 : h0, mine, p.history_sums[1], row + mine,
                           valid - mine, column);
    }
  }
  if (!owns_links) return;
  const auto finish = [&](int which, const RowSums<width>& sum, float f) {
    if (parts == 1 && chunk.alone)  // nothing is left to add
      return add_link_sums<width>(sum, f, p.links_out[which], chunk.request * links + group * 16, column);
    const int64_t row = (int64_t{blockIdx.x} * parts + part) * links + group * 16;
    write_link_sums<width>(sum, f, p.link_sums[which] + row * d + column, d);
  };
  if constexpr (gradient) finish(0, link_sum0, slope_factor);
  if constexpr (Plan::links1) finish(1, link_sum1, factor);
}

// Blocks a multiprocessor that there shall be registers for: as many threads as can have their sums there.
constexpr int mma_blocks(int width, int warps, bool gradient) {
  const int sums = (gradient ? 2 : 1) * width;
  return (sums <= 64 ? 512 : sums <= 128 && gradient ? 384 : 256) / (32 * warps);
}

// Grid: numbers of chunks, heads, directions (down, then up).
template <int width, int warps, bool gradient>
__global__ void __launch_bounds__(32 * warps, mma_blocks(width, warps, gradient))
    xor_attention_mma_kernel(MmaCall call) {
  if (blockIdx.z == 0) {
    mma_chunk<width, warps, false, gradient>(call, call.direction[0]);
  } else {
    mma_chunk<width, warps, true, gradient>(call, call.direction[1]);
  }
}

// --- host
// ---------------------------------------------------------------------------------------------------------------

inline constexpr int64_t most_mma_links = 128;
constexpr int mma_warps(int64_t links) { return links <= 64 ? 4 : 8; }
// Partial sums a chunk: warps that share its rows.
constexpr int64_t mma_parts(int64_t links) { return mma_warps(links) / (links / 16); }

// Of a call in one or both directions.
template <bool gradient>
size_t mma_shared_bytes(int64_t links, int64_t width, bool both) {
  const int64_t tile = 16 * mma_warps(links), down = MmaPlan<false, gradient>::shared_rows(links, tile),
                up = both ? MmaPlan<true, gradient>::shared_rows(links, tile) : 0;
  return static_cast<size_t>(std::max(down, up) * width) * sizeof(bf16);
}

// Whether the kernel takes this shape, on this device, and all of these views.
template <bool gradient>
bool takes_mma(const Context& ctx, const XorAttentionTile& tile, bool both, const ConstView& k,
               std::initializer_list<const ConstView*> views) {
  const int64_t width = k.cols() / tile.heads;
  bool takes = (width == 32 || width == 64 || width == 128) && tile.links % 16 == 0 &&
               tile.links <= most_mma_links &&
               mma_shared_bytes<gradient>(tile.links, width, both) <= most_shared_bytes(ctx);
  for (const ConstView* v : views)
    takes = takes && (v->empty() || (v->dtype() == DType::bf16 && whole_packs(*v)));
  return takes;
}

template <int width, bool gradient>
void launch_mma(Context& ctx, const char* name, int64_t heads, bool both, const MmaCall& call) {
  const auto start = [&]<int warps>() {
    const dim3 grid(static_cast<uint32_t>(call.chunks.numbers()), static_cast<uint32_t>(heads), both ? 2 : 1);
    launch(ctx, name, xor_attention_mma_kernel<width, warps, gradient>, grid, dim3(32 * warps),
           mma_shared_bytes<gradient>(call.links, width, both), call);
  };
  mma_warps(call.links) == 4 ? start.template operator()<4>() : start.template operator()<8>();
}

template <bool gradient>
void launch_mma(Context& ctx, const char* name, int64_t heads, int64_t width, bool both,
                const MmaCall& call) {
  width == 32   ? launch_mma<32, gradient>(ctx, name, heads, both, call)
  : width == 64 ? launch_mma<64, gradient>(ctx, name, heads, both, call)
                : launch_mma<128, gradient>(ctx, name, heads, both, call);
}

}  // namespace lime::cuda
