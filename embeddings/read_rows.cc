#include "embeddings/read_rows.h"

#include <algorithm>
#include <vector>

#include "embeddings/lookup_kernels.h"
#include "embeddings/row_type.h"

namespace lime {
namespace {

constexpr size_t map_ahead = 16;  // ids whose place in the map is on its way

// Calls f with the row of an id, a const float* or const bf16*.
template <typename F>
void with_row_of(const TableShard& shard, int64_t id, F f) {
  const int64_t row = shard.ids().find(id);
  with_stored_type(shard.config().type, [&]<typename Row>(Row) {
    if (is_row(row)) return f(static_cast<const Row*>(shard.values().row(row)));
    thread_local std::vector<Row> drawn;  // kept: many threads read, and nothing is to be allocated a row
    drawn.resize(static_cast<size_t>(shard.config().dim));
    shard.initial_row(id, drawn.data());
    f(static_cast<const Row*>(drawn.data()));
  });
}

void read_pooled(const TableShard& shard, const FeatureIds& f, std::span<const int64_t> ids, float* out) {
  const int64_t dim = shard.config().dim;
  int64_t n = 0;
  for (const int64_t id : ids) {
    if (id < 0) continue;
    with_row_of(shard, shard.fold(id),
                [&](const auto* row) { n++ == 0 ? set_row(row, out, dim) : add_row(row, out, dim); });
  }
  if (n == 0) std::fill_n(out, dim, 0.0f);
  if (n < 2 || f.pooling != Pooling::mean) return;
  const float share = 1.0f / static_cast<float>(n);
  for (int64_t c = 0; c < dim; ++c) out[c] *= share;
}

}  // namespace

void read_rows(const TableShard& shard, const FeatureIds& f, float* out, int64_t stride) {
  if (!f.offsets.empty()) {
    for (size_t i = 0; i + 1 < f.offsets.size(); ++i, out += stride)
      read_pooled(shard, f,
                  f.ids.subspan(static_cast<size_t>(f.offsets[i]),
                                static_cast<size_t>(f.offsets[i + 1] - f.offsets[i])),
                  out);
    return;
  }
  for (size_t i = 0; i < f.ids.size(); ++i, out += stride) {
    if (i + map_ahead < f.ids.size()) shard.ids().prefetch(shard.fold(f.ids[i + map_ahead]));
    if (f.ids[i] >= 0)
      with_row_of(shard, shard.fold(f.ids[i]),
                  [&](const auto* row) { set_row(row, out, shard.config().dim); });
    else
      std::fill_n(out, shard.config().dim, 0.0f);
  }
}

}  // namespace lime
