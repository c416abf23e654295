// DeviceTable: the rows of one table that live on this rank, with their optimizer state, in the memory of a
// CUDA device. Internal to embeddings/; kernels see it as TableOnDevice (device_table_cuda.h reads it).
//
// An open-addressing hash table gives an id its place, as id_map.h does; it grows by doubling. Rows lie in
// chunks that double up to 64 MiB: a table of gigabytes grows without being copied, and a small one is small.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "embeddings/device_buffer.h"
#include "embeddings/embedding_collection.h"
#include "embeddings/id_place.h"

namespace lime {

struct DeviceIdEntry {
  unsigned long long key;  // id + 1, or 0 where empty; of the type that atomicCAS takes
  int64_t place;           // id_place.h
};

struct TableOnDevice {
  DeviceIdEntry* entries = nullptr;
  uint64_t mask = 0;  // entries, a power of two, less one
  // Chunks of rows. Values are `pitch` columns a row, a whole number of packs of four, zeros behind `dim`.
  // State column c of a checkpoint is at c / dim * pitch + c % dim.
  void* const* values = nullptr;  // f32 or bf16: `type`
  float* const* state = nullptr;
  uint8_t* const* idle = nullptr;  // a byte a row; see TableRows
  DType type = DType::f32;
  int64_t dim = 0, pitch = 0, state_width = 0, state_pitch = 0;
  int64_t message_width = 0;  // floats that a row takes the place of in a message: whole 16 bytes
  int64_t admit_after = 1;
  int first_shift = 0, full_shift = 0;  // log2 of the rows of the first chunk and of a full one

  uint64_t seed = 0, stream_prefix = 0;  // of initial values: stream mix64(stream_prefix ^ id)
  uint64_t rounding_prefix = 0;          // of updates, where rows are bf16 (sparse_optimizer.h)
  float deviation = 0;
  SparseOptimizer optimizer = SparseOptimizer::sgd;
  float eps = 0, initial_state = 0;
  double learning_rate = 0, beta1 = 0, beta2 = 0;
};

class DeviceTable {
 public:
  DeviceTable(Context&, const TableConfig&, uint64_t seed);

  const TableConfig& config() const { return config_; }
  const TableOnDevice& on_device() const { return on_device_; }
  // Room for `rows` rows and `ids` ids, with and without rows, in all. On the context's stream; waits for the
  // device only where the hash table grows. Throws UserError, naming table, rows and bytes, where the device
  // has no more memory; the table is then as it was.
  void reserve(int64_t rows, int64_t ids);
  int64_t bytes() const;

 private:
  void grow_entries(int64_t ids);
  void add_chunk();
  int64_t value_bytes() const;  // of a row
  int64_t row_bytes() const;    // with its state

  Context& ctx_;
  TableConfig config_;
  TableOnDevice on_device_;
  std::shared_ptr<void> entries_;
  std::vector<std::shared_ptr<void>> values_, state_, idle_;  // chunks
  DeviceBuffer<void*> value_chunks_;
  DeviceBuffer<float*> state_chunks_;
  DeviceBuffer<uint8_t*> idle_chunks_;
  int64_t room_ = 0;  // rows
};

namespace cuda {

// Puts the entries of a table of `capacity` into an empty one.
void rehash(Context&, const DeviceIdEntry* from, int64_t capacity, DeviceIdEntry* to, uint64_t mask);
// ids[row] = id, for all rows; the other ids and their places in any order. *count: 0 before, how many these
// are after.
struct WaitingArrays {
  int64_t *ids, *places;
  unsigned long long* count;
};
void list_ids(Context&, const TableOnDevice&, int64_t* ids, const WaitingArrays&);
// Rows as TableRows has them, on the device: n x dim values, n x state_width of state, n of idle. From f32 to
// a table in bf16 they are rounded to nearest.
struct RowArrays {
  float *values, *state;
  uint8_t* idle;
};
void export_rows(Context&, const TableOnDevice&, const int64_t* rows, int64_t n, const RowArrays&);
// Row first_row + i = the i-th; *twice = an id that was there already, if any.
void import_rows(Context&, const TableOnDevice&, const int64_t* ids, int64_t n, int64_t first_row,
                 const RowArrays&, int64_t* twice);
// The same for ids that wait, and their places.
void import_waiting(Context&, const TableOnDevice&, const int64_t* ids, const int64_t* places, int64_t n,
                    int64_t* twice);

}  // namespace cuda
}  // namespace lime
