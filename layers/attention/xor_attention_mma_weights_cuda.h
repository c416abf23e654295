// What makes weights of XOR attention's scores, for sums_mma_cuda.h: A = f SiLU(S / sqrt(w)),
// D = f SiLU'(S / sqrt(w)) G / sqrt(w), f = 1 / N down, 1 / links up. Rows of zeros give nothing: SiLU(0) =
// 0, and the gradient of their score is 0.
#pragma once

#include "layers/attention/sums_mma_cuda.h"

namespace lime::cuda {

struct SiluMmaWeights {
  static constexpr bool both = true;
  struct Link {};  // all are alike

  float half_slope;  // 1 / (2 sqrt(w))

  __device__ Link link(const Chunk&, int64_t, int) const { return {}; }
  __device__ float factor(const Chunk& chunk, int links, bool up) const {
    return 1.0f / static_cast<float>(up ? links : chunk.length);
  }
  __device__ float slope() const { return 2 * half_slope; }
  template <bool with0, bool with1, typename LinkOf>
  __device__ __forceinline__ void weigh(const LinkOf&, const float (&s)[2][4], const float (&g)[2][4],
                                        uint32_t (&a)[4], uint32_t (&d)[4]) const {
    mma_silu<with0, with1>(half_slope, s, g, a, d);
  }
};

}  // namespace lime::cuda
