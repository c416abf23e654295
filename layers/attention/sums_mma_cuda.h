// The sums of sums_cuda.h with tensor cores, for rows of bf16, given what makes weights of scores.
// Included by the files that instantiate it.
//
// A block has one head of one chunk of one request's history, in one direction. The links' two matrices stay
// in shared memory; tiles of history rows arrive by asynchronous copies, the next while one is computed. Each
// row of each matrix is read once: `up` needs Q (and dO) of the history, `down` needs K and V.
//
// There are two kernels: by products of warps, and on sm_90a, for 64 or 128 links and heads of 32 or 64
// columns, of warpgroups. In both, scores are f32; A and D are rounded to bf16 for the second product, sums
// are f32.
#pragma once

#include <algorithm>
#include <initializer_list>

#include "layers/attention/sums_mma_kernel_cuda.h"
#include "layers/attention/sums_wgmma_kernel_cuda.h"

namespace lime::cuda {

inline constexpr int64_t most_mma_links = 128;
constexpr int mma_warps(int64_t links) { return links <= 64 ? 4 : 8; }
// Partial sums a chunk: warps that share its rows. Of links that takes_mma has taken.
constexpr int64_t mma_parts(int64_t links) { return mma_warps(links) / (links / 16); }

// Of a call in one or both directions, with `known` bytes a link.
template <bool gradient>
size_t mma_shared_bytes(int64_t links, int64_t width, bool both, size_t known) {
  const int64_t tile = 16 * mma_warps(links), down = MmaPlan<false, gradient>::shared_rows(links, tile),
                up = both ? MmaPlan<true, gradient>::shared_rows(links, tile) : 0;
  return static_cast<size_t>(std::max(down, up) * width) * sizeof(bf16) + static_cast<size_t>(links) * known;
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
  if constexpr (width <= 64) {
    if (call.links % wgmma_links == 0 && wgmma_in_use(ctx))
      return launch_wgmma<width, gradient>(ctx, name, both, weights, call);
  }
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
