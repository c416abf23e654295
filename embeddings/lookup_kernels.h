// The loops of gather and add_gradient over one feature of one micro-batch, and row sums. Internal to
// embeddings/.
#pragma once

#include <cstdint>
#include <span>

#include "embeddings/embedding_collection.h"

namespace lime {

// A feature's id occurrences: output row i has occurrences [offsets[i], offsets[i+1]), or the one occurrence
// i where offsets is empty. slots[o] says what occurrence o refers to; a negative slot is a missing id.
struct FeatureSlots {
  const int32_t* slots;
  std::span<const int64_t> offsets;
  int64_t rows;
  Pooling pooling;
};

// Row: of a table's rows, float or bf16; T: of the dense network's, float or double.
// out[i,:] = pooled row_of_slot[slot], each a const Row*; zeros where a row has no ids.
template <typename Row, typename T>
void gather_rows(const FeatureSlots&, const void* const* row_of_slot, int64_t dim, T* out, int64_t stride);

// gradient[slot,:] += dout[i,:] (divided by the number of ids for a mean), occurrences in order.
// present[slot] says whether a slot holds a sum already, and is set.
template <typename T>
void scatter_rows(const FeatureSlots&, const T* dout, int64_t stride, int64_t dim, float* gradient,
                  uint8_t* present);

// to = from; to += from.
template <typename Row>
void set_row(const Row* from, float* to, int64_t dim);
template <typename Row>
void add_row(const Row* from, float* to, int64_t dim);
// Accumulated in f64, in one order whatever the CPU.
double row_sum_of_squares(const float* row, int64_t dim);

}  // namespace lime
