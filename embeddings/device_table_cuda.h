// A DeviceTable inside kernels. Internal to embeddings/.
#pragma once

#include "embeddings/device_table.h"
#include "runtime/cuda_kernel.h"
#include "runtime/cuda_kernel_philox.h"

namespace lime::cuda {

inline constexpr int pack = 4;  // floats that a lane has of a row at a time

struct RowPlace {
  int64_t chunk, within;
};

// Chunks hold 1, 1, 2, 4, .. times the rows of the first, up to a full one's, then as many as that.
__device__ __forceinline__ RowPlace place_of_row(const TableOnDevice& table, int64_t row) {
  const int64_t doubled = int64_t{2} << table.full_shift;  // rows before chunks have one size
  if (row >= doubled)
    return {table.full_shift - table.first_shift + 2 + ((row - doubled) >> table.full_shift),
            row & ((int64_t{1} << table.full_shift) - 1)};
  const auto firsts = static_cast<uint32_t>(row >> table.first_shift);
  if (firsts == 0) return {0, row};
  const int chunk = 32 - __clz(static_cast<int>(firsts));
  return {chunk, row - (int64_t{1} << (table.first_shift + chunk - 1))};
}

__device__ __forceinline__ float* row_in(float* const* chunks, RowPlace at, int64_t pitch) {
  return chunks[at.chunk] + at.within * pitch;
}
// A row's values, of the table's type.
__device__ __forceinline__ void* values_of(const TableOnDevice& table, RowPlace at) {
  const int64_t bytes = table.pitch * (table.type == DType::bf16 ? 2 : 4);
  return static_cast<unsigned char*>(table.values[at.chunk]) + at.within * bytes;
}

__device__ __forceinline__ uint64_t home_of(int64_t id, uint64_t mask) {
  return mix64(static_cast<uint64_t>(id)) & mask;
}

__device__ inline int64_t find_place(const TableOnDevice& table, int64_t id) {
  const uint64_t key = static_cast<uint64_t>(id) + 1;
  for (uint64_t i = home_of(id, table.mask);; i = (i + 1) & table.mask) {
    const DeviceIdEntry entry = table.entries[i];
    if (entry.key == key) return entry.place;
    if (entry.key == 0) return no_place;
  }
}

// Gives an id its place, or another one. False where the id was there already. Which entry it has depends on
// who comes first; what is found never does.
__device__ inline bool put_id(DeviceIdEntry* entries, uint64_t mask, int64_t id, int64_t place) {
  const unsigned long long key = static_cast<unsigned long long>(id) + 1;
  for (uint64_t i = home_of(id, mask);; i = (i + 1) & mask) {
    const unsigned long long found = atomicCAS(&entries[i].key, 0ull, key);
    if (found != key && found != 0) continue;
    entries[i].place = place;
    return found == 0;
  }
}

// Columns c to c + 3 of what an unseen id reads as; zeros behind the table's columns.
__device__ inline void initial_values(const TableOnDevice& table, int64_t id, int64_t c, float (&x)[pack]) {
  const uint64_t stream = mix64(table.stream_prefix ^ static_cast<uint64_t>(id));
  normals_of_block(table.seed, stream, static_cast<uint64_t>(c / pack), table.deviation, x);
  for (int i = 0; i < pack; ++i) {
    if (table.type == DType::bf16) x[i] = to_compute(from_compute<bf16>(x[i]));
    if (c + i >= table.dim) x[i] = 0;
  }
}

// Where a checkpoint's column of state is in a row of state.
__device__ __forceinline__ int64_t state_column(const TableOnDevice& table, int64_t c) {
  return c / table.dim * table.pitch + c % table.dim;
}

}  // namespace lime::cuda
