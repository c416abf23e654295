// Rows as a table stores them: f32, or bf16. Internal to embeddings/.
#pragma once

#include <bit>
#include <cstdint>
#include <type_traits>

#include "embeddings/embedding_collection.h"
#include "runtime/bf16.h"

namespace lime {

// Rounds stochastically: to the neighbour of greater magnitude with the probability of how far x is on the
// way to it, so that with 16 uniform bits `random` the mean of what is stored is x, exactly. Adds them to the
// 16 bits that are dropped and drops those. What bf16 has, infinities too, stays as it is; a NaN becomes
// 0x7fff; beyond the largest bf16 the greater neighbour is infinite.
constexpr bf16 rounded_stochastically(float x, uint16_t random) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  const bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
  return {static_cast<uint16_t>(nan ? 0x7fffu : (bits + random) >> 16)};
}

// Calls f with a value of the type of a table's rows.
template <typename F>
decltype(auto) with_stored_type(DType type, F f) {
  LIME_CHECK(type == DType::f32 || type == DType::bf16, "rows of ", to_string(type));
  return type == DType::bf16 ? f(bf16{}) : f(float{});
}

// As it is computed with.
inline float widened(float x) { return x; }
inline double widened(double x) { return x; }
inline float widened(bf16 x) { return to_float(x); }
// To nearest.
template <typename Row>
Row as_stored(float x) {
  if constexpr (std::is_same_v<Row, bf16>) {
    return to_bf16(x);
  } else {
    return x;
  }
}

inline int64_t stored_row_bytes(const TableConfig& table) {
  return table.dim * static_cast<int64_t>(size_of(table.type));
}

// Of a message in which rows lie: floats that a row takes the place of.
inline int64_t row_floats(const TableConfig& table) {
  constexpr int64_t float_bytes = sizeof(float);
  return (stored_row_bytes(table) + float_bytes - 1) / float_bytes;
}

}  // namespace lime
