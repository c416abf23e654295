#include "embeddings/read_rows.h"

#include <algorithm>

#include "embeddings/lookup_kernels.h"

namespace lime {
namespace {

constexpr size_t map_ahead = 16;  // ids whose place in the map is on its way

void set_row(const TableShard& shard, int64_t id, float* out) {
  const int64_t row = shard.ids().find(id);
  if (row == IdMap::absent)
    shard.initial_values(id, out);
  else
    std::copy_n(shard.values().row(row), shard.config().dim, out);
}

void add_row_of(const TableShard& shard, int64_t id, float* out) {
  const int64_t dim = shard.config().dim, row = shard.ids().find(id);
  if (row != IdMap::absent) return add_row(shard.values().row(row), out, dim);
  std::vector<float> drawn(static_cast<size_t>(dim));
  shard.initial_values(id, drawn.data());
  add_row(drawn.data(), out, dim);
}

void read_pooled(const TableShard& shard, const FeatureIds& f, std::span<const int64_t> ids, float* out) {
  const int64_t dim = shard.config().dim;
  int64_t n = 0;
  for (const int64_t id : ids)
    if (id >= 0) n++ == 0 ? set_row(shard, shard.fold(id), out) : add_row_of(shard, shard.fold(id), out);
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
      set_row(shard, shard.fold(f.ids[i]), out);
    else
      std::fill_n(out, shard.config().dim, 0.0f);
  }
}

}  // namespace lime
