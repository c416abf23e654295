// Kernels over rows: each row has a group of lanes of a warp, each lane four neighbouring columns at a time.
// Internal to embeddings/.
#pragma once

#include <algorithm>
#include <bit>

#include "embeddings/device_kernels.h"
#include "embeddings/device_table_cuda.h"

namespace lime::cuda {

inline constexpr int row_threads = 256;

// Host: blocks of (lanes, groups) for rows of up to `floats`; a warp holds whole groups.
inline dim3 row_block(int64_t floats) {
  const auto packs = static_cast<uint64_t>((floats + pack - 1) / pack);
  const auto lanes =
      static_cast<uint32_t>(std::min<uint64_t>(std::bit_ceil(std::max<uint64_t>(packs, 1)), warp_size));
  return {lanes, row_threads / lanes};
}

// The sum over a group's lanes, in all of them; all threads of the warp must call.
template <typename T>
__device__ __forceinline__ T group_sum(T x) {
  for (uint32_t distance = blockDim.x / 2; distance > 0; distance /= 2)
    x += __shfl_xor_sync(all_lanes, x, static_cast<int>(distance));
  return x;
}

// A group that goes over the rows of distinct ids has as many of them as it has lanes, up to 8. Each lane
// looks at one: where its row is takes several loads that depend on each other, which are waited for once
// then. All lanes go over the rows, one after the other.
inline constexpr uint32_t most_ids_of_group = 8;
__host__ __device__ constexpr uint32_t ids_of_group(uint32_t lanes) {
  return lanes < most_ids_of_group ? lanes : most_ids_of_group;
}
// Host: the blocks for so many ids.
inline dim3 blocks_of_ids(int64_t ids, dim3 block) {
  return dim3(divide_up(ids, block.y * ids_of_group(block.x)));
}
// The id that this lane looks at; -1 if none, or if it is not below `count`.
__device__ __forceinline__ int64_t id_of_lane(int64_t count) {
  const uint32_t ids = ids_of_group(blockDim.x);
  const int64_t u = (int64_t{blockIdx.x} * blockDim.y + threadIdx.y) * ids + threadIdx.x;
  return threadIdx.x < ids && u < count ? u : -1;
}
// What the group's k-th lane has; all threads of the warp must call.
template <typename T>
__device__ __forceinline__ T from_lane(T x, uint32_t k) {
  return __shfl_sync(all_lanes, x, static_cast<int>(k), static_cast<int>(blockDim.x));
}
template <typename T>
__device__ __forceinline__ T* from_lane(T* p, uint32_t k) {
  return reinterpret_cast<T*>(from_lane(reinterpret_cast<unsigned long long>(p), k));
}

// Of float or bf16.
template <typename T>
__device__ __forceinline__ void load_row_pack(const T* p, float (&x)[pack]) {
  const auto v = load_pack<pack>(p);
#pragma unroll
  for (int i = 0; i < pack; ++i) x[i] = to_compute(v.at[i]);
}
__device__ __forceinline__ void store_row_pack(const float (&x)[pack], float* p) {
  Pack<float, pack> v;
#pragma unroll
  for (int i = 0; i < pack; ++i) v.at[i] = x[i];
  store_pack(p, v);
}

// Whether all rows of a view of the dense network can be read and written in packs of four.
inline bool in_packs(const ConstView& v) {
  const size_t bytes = pack * size_of(v.dtype());
  return reinterpret_cast<uintptr_t>(v.raw()) % std::min<size_t>(bytes, 16) == 0 && v.cols() % pack == 0 &&
         (v.rows() <= 1 || v.stride() % pack == 0);
}

// The table of a distinct id.
__device__ __forceinline__ int64_t table_of(const DistinctView& d, int64_t u) {
  return d.place[u] / virtual_buckets;
}
__device__ __forceinline__ int64_t distinct_count(const DistinctView& d) {
  return d.begins[d.tables * d.owners];
}

}  // namespace lime::cuda
