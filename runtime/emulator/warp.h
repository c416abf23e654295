// CUDA's barriers, shuffles and votes for emulated kernels, in the global namespace as in CUDA, and what the
// tensor core instructions of runtime/cuda_kernel_mma.h do. Each waits for the lanes of its mask; all but
// __syncthreads are one emulator::warp_operation, which sees the registers of all lanes.
#pragma once

#include <cstring>
#include <type_traits>

#include "runtime/bf16.h"
#include "runtime/emulator/emulator.h"

namespace lime::emulator {

inline constexpr uint32_t warp_lanes = 32;

// The registers of one lane in a shuffle.
template <typename T>
struct Shuffle {
  T value, result;
  uint32_t source;
  Place place;
};

// The source of a shuffle with `width` is in the lane's own group of `width` lanes, else the lane itself.
template <typename T>
T shuffle(uint32_t mask, T value, int64_t source, bool inside, Place place) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= 8);
  Shuffle<T> mine{value, value, inside ? static_cast<uint32_t>(source) : lane(), place};
  warp_operation(
      mask, &mine,
      [](void* const* all) {
        for (uint32_t l = 0; l < warp_lanes; ++l) {
          auto* to = static_cast<Shuffle<T>*>(all[l]);
          if (!to) continue;
          const auto* from = static_cast<const Shuffle<T>*>(all[to->source]);
          if (!from)
            fault("reads from lane " + std::to_string(to->source) + ", which is not in its mask", to->place);
          to->result = from->value;
        }
      },
      place);
  return mine.result;
}

struct Vote {
  bool predicate;
  uint32_t ballot;
};

inline uint32_t vote(uint32_t mask, bool predicate, Place place) {
  Vote mine{predicate, 0};
  warp_operation(
      mask, &mine,
      [](void* const* all) {
        uint32_t ballot = 0;
        for (uint32_t l = 0; l < warp_lanes; ++l)
          if (all[l] && static_cast<Vote*>(all[l])->predicate) ballot |= 1u << l;
        for (uint32_t l = 0; l < warp_lanes; ++l)
          if (all[l]) static_cast<Vote*>(all[l])->ballot = ballot;
      },
      place);
  return mine.ballot;
}

}  // namespace lime::emulator

inline void __syncthreads(lime::emulator::Place place = lime::emulator::Place::current()) {
  lime::emulator::block_barrier(place);
}
inline void __syncwarp(uint32_t mask = 0xffffffffu,
                       lime::emulator::Place place = lime::emulator::Place::current()) {
  lime::emulator::warp_barrier(mask, place);
}
inline uint32_t __ballot_sync(uint32_t mask, int predicate,
                              lime::emulator::Place place = lime::emulator::Place::current()) {
  return lime::emulator::vote(mask, predicate != 0, place);
}
inline int __any_sync(uint32_t mask, int predicate,
                      lime::emulator::Place place = lime::emulator::Place::current()) {
  return lime::emulator::vote(mask, predicate != 0, place) != 0;
}
inline int __all_sync(uint32_t mask, int predicate,
                      lime::emulator::Place place = lime::emulator::Place::current()) {
  return lime::emulator::vote(mask, predicate == 0, place) == 0;
}

template <typename T>
T __shfl_sync(uint32_t mask, T value, int source, int width = warpSize,
              lime::emulator::Place place = lime::emulator::Place::current()) {
  const int64_t group = lime::emulator::lane() / static_cast<uint32_t>(width) * static_cast<uint32_t>(width);
  return lime::emulator::shuffle(mask, value, group + (source & (width - 1)), true, place);
}
template <typename T>
T __shfl_xor_sync(uint32_t mask, T value, int lane_mask, int width = warpSize,
                  lime::emulator::Place place = lime::emulator::Place::current()) {
  const int64_t l = lime::emulator::lane(), source = l ^ lane_mask;
  return lime::emulator::shuffle(mask, value, source, source / width <= l / width, place);
}
template <typename T>
T __shfl_up_sync(uint32_t mask, T value, unsigned delta, int width = warpSize,
                 lime::emulator::Place place = lime::emulator::Place::current()) {
  const int64_t l = lime::emulator::lane(), source = l - delta;
  return lime::emulator::shuffle(mask, value, source, source >= l / width * width, place);
}
template <typename T>
T __shfl_down_sync(uint32_t mask, T value, unsigned delta, int width = warpSize,
                   lime::emulator::Place place = lime::emulator::Place::current()) {
  const int64_t l = lime::emulator::lane(), source = l + delta;
  return lime::emulator::shuffle(mask, value, source, source < (l / width + 1) * width, place);
}

namespace lime::emulator {

// --- tensor cores: fragment layouts of PTX, "Matrix Fragments for mma.m16n8k16 / .m16n8k8" and "ldmatrix"
// ---------------

struct Mma {
  float* d;
  const uint32_t *a, *b;
};

inline float half_of(uint32_t pair, int64_t upper) {
  return to_float(lime::bf16{static_cast<uint16_t>(pair >> (16 * upper))});
}
inline float tf32_of(uint32_t bits) { return std::bit_cast<float>(bits & 0xffffe000u); }

// d (16 x 8) += a (16 x depth) b (depth x 8). a_at and b_at read one element out of all lanes' registers.
template <int depth, typename A, typename B>
void multiply_fragments(void* const* all, A a_at, B b_at) {
  for (uint32_t l = 0; l < warp_lanes; ++l) {
    for (uint32_t i = 0; i < 4; ++i) {
      const uint32_t row = l / 4 + (i / 2) * 8, col = l % 4 * 2 + i % 2;
      double sum = 0;
      for (uint32_t k = 0; k < depth; ++k) sum += double{a_at(row, k)} * b_at(k, col);
      float& d = static_cast<const Mma*>(all[l])->d[i];
      d = static_cast<float>(d + sum);
    }
  }
}

inline void mma_bf16(float* d, const uint32_t* a, const uint32_t* b, Place place) {
  Mma mine{d, a, b};
  warp_operation(
      0xffffffffu, &mine,
      [](void* const* all) {
        const auto at = [&](uint32_t l) { return static_cast<const Mma*>(all[l]); };
        multiply_fragments<16>(
            all,
            [&](uint32_t row, uint32_t k) {
              return half_of(at(row % 8 * 4 + k % 8 / 2)->a[row / 8 + k / 8 * 2], k % 2);
            },
            [&](uint32_t k, uint32_t col) { return half_of(at(col * 4 + k % 8 / 2)->b[k / 8], k % 2); });
      },
      place);
}

inline void mma_tf32(float* d, const uint32_t* a, const uint32_t* b, Place place) {
  Mma mine{d, a, b};
  warp_operation(
      0xffffffffu, &mine,
      [](void* const* all) {
        const auto at = [&](uint32_t l) { return static_cast<const Mma*>(all[l]); };
        multiply_fragments<8>(
            all,
            [&](uint32_t row, uint32_t k) {
              return tf32_of(at(row % 8 * 4 + k % 4)->a[row / 8 + k / 4 * 2]);
            },
            [&](uint32_t k, uint32_t col) { return tf32_of(at(col * 4 + k % 4)->b[k / 4]); });
      },
      place);
}

struct LoadMatrix {
  const uint16_t* row;
  uint32_t* registers;
  Place place;
};

// For the race checker: a row is read by the lane that names it, and what a lane receives by that lane, in
// words of two columns.
template <bool transposed>
void note_matrices(void* const* all) {
  for (uint32_t l = 0; l < warp_lanes; ++l) {
    const auto row = [&](uint32_t i) { return static_cast<const LoadMatrix*>(all[i])->row; };
    const Place place = static_cast<const LoadMatrix*>(all[l])->place;
    race::note_read_of(l, row(l), 16, place);
    for (uint32_t m = 0; m < 4; ++m) {
      if (!transposed) race::note_read_of(l, row(m * 8 + l / 4) + l % 4 * 2, 4, place);
      for (uint32_t i = 0; transposed && i < 2; ++i)
        race::note_read_of(l, row(m * 8 + l % 4 * 2 + i) + l / 8 * 2, 4, place);
    }
  }
}

// Lane l names row l % 8 of matrix l / 8, and receives of each 8 x 8 matrix two neighbours of row l / 4, or
// of column l / 4 if transposed.
template <bool transposed>
void load_matrices(uint32_t* registers, const void* row, Place place) {
  if (reinterpret_cast<uintptr_t>(row) % 16 != 0)
    fault("ldmatrix of a row that is not 16-byte aligned", place);
  LoadMatrix mine{static_cast<const uint16_t*>(row), registers, place};
  warp_operation(
      0xffffffffu, &mine,
      [](void* const* all) {
        const auto at = [&](uint32_t l) { return static_cast<const LoadMatrix*>(all[l]); };
        if (race::finds_races) note_matrices<transposed>(all);
        for (uint32_t l = 0; l < warp_lanes; ++l) {
          for (uint32_t m = 0; m < 4; ++m) {
            const auto element = [&](uint32_t i, uint32_t j) -> uint32_t {
              return at(m * 8 + (transposed ? j : i))->row[transposed ? i : j];
            };
            const uint32_t i = l / 4, j = l % 4 * 2;
            at(l)->registers[m] = element(i, j) | element(i, j + 1) << 16;
          }
        }
      },
      place);
}

}  // namespace lime::emulator
