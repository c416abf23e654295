#include "embeddings/device_table_cuda.h"

namespace lime::cuda {

namespace {

constexpr int threads = 256;

__global__ void rehash_kernel(const DeviceIdEntry* from, int64_t capacity, DeviceIdEntry* to, uint64_t mask) {
  const int64_t i = int64_t{blockIdx.x} * threads + threadIdx.x;
  if (i < capacity && from[i].key != 0)
    put_id(to, mask, static_cast<int64_t>(from[i].key - 1), from[i].place);
}

__global__ void list_kernel(TableOnDevice table, int64_t* ids, WaitingArrays waiting) {
  const int64_t i = int64_t{blockIdx.x} * threads + threadIdx.x;
  if (i > static_cast<int64_t>(table.mask)) return;
  const DeviceIdEntry entry = table.entries[i];
  if (entry.key == 0) return;
  const auto id = static_cast<int64_t>(entry.key - 1);
  if (is_row(entry.place)) {
    ids[entry.place] = id;
    return;
  }
  const unsigned long long at = atomicAdd(waiting.count, 1ull);
  waiting.ids[at] = id;
  waiting.places[at] = entry.place;
}

// One warp a row.
__global__ void export_kernel(TableOnDevice table, const int64_t* rows, int64_t n, RowArrays out) {
  const int64_t i = int64_t{blockIdx.x} * blockDim.y + threadIdx.y;
  if (i >= n) return;
  const RowPlace at = place_of_row(table, rows[i]);
  const void* const row = values_of(table, at);
  for (int64_t c = threadIdx.x; c < table.dim; c += warp_size)
    out.values[i * table.dim + c] = table.type == DType::bf16 ? to_compute(static_cast<const bf16*>(row)[c])
                                                              : static_cast<const float*>(row)[c];
  if (threadIdx.x == 0) out.idle[i] = table.idle[at.chunk][at.within];
  if (table.state_width == 0) return;
  const float* row_state = row_in(table.state, at, table.state_pitch);
  for (int64_t c = threadIdx.x; c < table.state_width; c += warp_size)
    out.state[i * table.state_width + c] = row_state[state_column(table, c)];
}

__global__ void import_kernel(TableOnDevice table, const int64_t* ids, int64_t n, int64_t first_row,
                              RowArrays in, int64_t* twice) {
  const int64_t i = int64_t{blockIdx.x} * blockDim.y + threadIdx.y;
  if (i >= n) return;
  if (threadIdx.x == 0 && !put_id(table.entries, table.mask, ids[i], first_row + i)) *twice = ids[i];
  const RowPlace at = place_of_row(table, first_row + i);
  void* const row = values_of(table, at);
  for (int64_t c = threadIdx.x; c < table.pitch; c += warp_size) {
    const float value = c < table.dim ? in.values[i * table.dim + c] : 0;
    if (table.type == DType::bf16) {
      static_cast<bf16*>(row)[c] = from_compute<bf16>(value);
    } else {
      static_cast<float*>(row)[c] = value;
    }
  }
  if (threadIdx.x == 0) table.idle[at.chunk][at.within] = in.idle[i];
  if (table.state_width == 0) return;
  float* row_state = row_in(table.state, at, table.state_pitch);
  for (int64_t c = threadIdx.x; c < table.state_pitch; c += warp_size) row_state[c] = 0;
  __syncwarp();
  for (int64_t c = threadIdx.x; c < table.state_width; c += warp_size)
    row_state[state_column(table, c)] = in.state[i * table.state_width + c];
}

__global__ void import_waiting_kernel(TableOnDevice table, const int64_t* ids, const int64_t* places,
                                      int64_t n, int64_t* twice) {
  const int64_t i = int64_t{blockIdx.x} * threads + threadIdx.x;
  if (i < n && !put_id(table.entries, table.mask, ids[i], places[i])) *twice = ids[i];
}

constexpr int rows_a_block = threads / warp_size;

}  // namespace

void rehash(Context& ctx, const DeviceIdEntry* from, int64_t capacity, DeviceIdEntry* to, uint64_t mask) {
  launch(ctx, "table grows", rehash_kernel, dim3(divide_up(capacity, threads)), dim3(threads), 0, from,
         capacity, to, mask);
}

void list_ids(Context& ctx, const TableOnDevice& table, int64_t* ids, const WaitingArrays& waiting) {
  launch(ctx, "ids of rows", list_kernel, dim3(divide_up(static_cast<int64_t>(table.mask) + 1, threads)),
         dim3(threads), 0, table, ids, waiting);
}

void export_rows(Context& ctx, const TableOnDevice& table, const int64_t* rows, int64_t n,
                 const RowArrays& out) {
  launch(ctx, "rows out", export_kernel, dim3(divide_up(n, rows_a_block)), dim3(warp_size, rows_a_block), 0,
         table, rows, n, out);
}

void import_rows(Context& ctx, const TableOnDevice& table, const int64_t* ids, int64_t n, int64_t first_row,
                 const RowArrays& in, int64_t* twice) {
  launch(ctx, "rows in", import_kernel, dim3(divide_up(n, rows_a_block)), dim3(warp_size, rows_a_block), 0,
         table, ids, n, first_row, in, twice);
}

void import_waiting(Context& ctx, const TableOnDevice& table, const int64_t* ids, const int64_t* places,
                    int64_t n, int64_t* twice) {
  launch(ctx, "waiting ids in", import_waiting_kernel, dim3(divide_up(n, threads)), dim3(threads), 0, table,
         ids, places, n, twice);
}

}  // namespace lime::cuda
