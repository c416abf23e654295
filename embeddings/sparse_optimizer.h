// Optimizer updates of embedding rows, one fused pass over a row's values and state. Internal to embeddings/.
//
//   sgd              p -= lr g
//   rowwise_adagrad  s += mean(g^2);  p -= lr g / (sqrt(s) + eps)           state: s
//   adagrad          s += g^2;        p -= lr g / (sqrt(s) + eps)           state: s[dim]
//   adam             m = b1 m + (1-b1) g;  v = b2 v + (1-b2) g^2;  n += 1   state: m[dim], v[dim], n
//                    p -= lr (m / (1-b1^n)) / (sqrt(v / (1-b2^n)) + eps)
//
// Adam is the lazy form: a row without a gradient stays as it is, and n counts the row's own updates.
// All in f32 (Adam's corrections in f64), operation by operation: the same bits on every CPU.
//
// A row in bf16 is widened to f32, updated so, and rounded stochastically (row_type.h), column c by the c-th
// of the 16-bit numbers that Philox::halves gives of stream mix64(stream_prefix ^ id) from block update *
// ceil(dim / 8) on.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "embeddings/embedding_collection.h"

namespace lime {

int64_t state_width_of(SparseOptimizer, int64_t dim);  // floats a row

void set_initial_state(const TableConfig&, float* state);

struct RowUpdate {
  void* values;           // dim, of the table's type
  float* state;           // state_width_of
  const float* gradient;  // dim
  int64_t id;
};

// What the random bits of rows in bf16 are drawn by.
struct RoundingKey {
  uint64_t seed = 0;
  uint64_t stream_prefix = 0;  // rounding_prefix of the table
  uint64_t update = 0;         // number of the run's updates
};
uint64_t rounding_prefix(const std::string& table);

// Updates each row with grad_scale * gradient; rows must be distinct.
void update_rows(const TableConfig&, double grad_scale, double lr_scale, const RoundingKey&,
                 std::span<const RowUpdate>);

}  // namespace lime
