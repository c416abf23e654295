// Random numbers inside kernels: blocks as Philox::block (runtime/philox.h) has them, and rows of normal
// numbers, those of Philox::normals to the rounding of the device's logarithm, cosine and sine: a few units
// in the last place of the deviation.
#pragma once

#include "runtime/cuda_kernel_math.h"
#include "runtime/philox.h"

namespace lime::cuda {

// Of a part of a turn.
__device__ inline float cosine_of_turn(float turn) {
#ifdef LIME_CUDA_EMULATED
  return within(cosf(6.283185307179586f * turn), turn, 0x1p-22f);
#else
  return cospif(2 * turn);
#endif
}
__device__ inline float sine_of_turn(float turn) {
#ifdef LIME_CUDA_EMULATED
  return within(sinf(6.283185307179586f * turn), turn, 0x1p-22f);
#else
  return sinpif(2 * turn);
#endif
}

// A block's words.
__device__ inline void philox_block(uint64_t seed, uint64_t stream, uint64_t block, uint32_t (&c)[4]) {
  c[0] = static_cast<uint32_t>(block), c[1] = static_cast<uint32_t>(block >> 32);
  c[2] = static_cast<uint32_t>(stream), c[3] = static_cast<uint32_t>(stream >> 32);
  uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < Philox::rounds; ++round) {
    const uint64_t p0 = uint64_t{Philox::multiplier_0} * c[0], p1 = uint64_t{Philox::multiplier_1} * c[2];
    c[0] = static_cast<uint32_t>(p1 >> 32) ^ c[1] ^ k0;
    c[1] = static_cast<uint32_t>(p1);
    c[2] = static_cast<uint32_t>(p0 >> 32) ^ c[3] ^ k1;
    c[3] = static_cast<uint32_t>(p0);
    k0 += Philox::weyl_0, k1 += Philox::weyl_1;
  }
}

// Numbers 4 * block to 4 * block + 3 of the stream, times `deviation`.
__device__ inline void normals_of_block(uint64_t seed, uint64_t stream, uint64_t block, float deviation,
                                        float (&out)[4]) {
  uint32_t c[4];
  philox_block(seed, stream, block, c);
  const auto open = [](uint32_t bits) { return fmaf(static_cast<float>(bits >> 8), 0x1p-24f, 0x1p-25f); };
  for (int pair = 0; pair < 2; ++pair) {
    const float radius = deviation * sqrtf(-2.0f * logf(open(c[2 * pair]))), turn = open(c[2 * pair + 1]);
    out[pair] = radius * cosine_of_turn(turn);
    out[2 + pair] = radius * sine_of_turn(turn);
  }
}

}  // namespace lime::cuda
