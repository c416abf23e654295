#include "embeddings/table_shard.h"

#include <algorithm>
#include <utility>

#include "embeddings/sparse_optimizer.h"
#include "runtime/philox.h"

namespace lime {

TableShard::TableShard(const TableConfig& config, uint64_t seed, int rank, int ranks)
    : config_(config),
      seed_(seed),
      name_key_(stream_of(config.name)),
      ids_(first_bucket_of(rank, ranks), first_bucket_of(rank + 1, ranks)),
      values_(config.dim),
      state_(state_width_of(config.optimizer, config.dim)) {}

void TableShard::initial_values(int64_t id, float* out) const {
  const Philox random(seed_, stream_of("embedding", name_key_, static_cast<uint64_t>(id)));
  for (int64_t c = 0; c < config_.dim; ++c) {
    out[c] = static_cast<float>(random.normal(static_cast<uint64_t>(c)) * config_.init_std);
  }
}

int64_t TableShard::append(int64_t id, const float* values) {
  const int64_t row = values_.rows();
  ids_.insert(id, row);
  std::copy_n(values, config_.dim, values_.append());
  state_.append();
  return row;
}

int64_t TableShard::insert(int64_t id, const float* values) {
  const int64_t row = append(id, values);
  set_initial_state(config_, state_.row(row));
  return row;
}

TableRows TableShard::bucket_rows(int64_t bucket) const {
  std::vector<std::pair<int64_t, int64_t>> found;  // id, row
  ids_.for_each(bucket, [&](int64_t id, int64_t row) { found.emplace_back(id, row); });
  std::sort(found.begin(), found.end());
  TableRows rows;
  rows.ids.reserve(found.size());
  rows.values.reserve(found.size() * static_cast<size_t>(values_.width()));
  rows.state.reserve(found.size() * static_cast<size_t>(state_.width()));
  for (const auto& [id, row] : found) {
    rows.ids.push_back(id);
    rows.values.insert(rows.values.end(), values_.row(row), values_.row(row) + values_.width());
    rows.state.insert(rows.state.end(), state_.row(row), state_.row(row) + state_.width());
  }
  return rows;
}

void TableShard::load_rows(const TableRows& rows) {
  const size_t n = rows.ids.size(), dim = static_cast<size_t>(values_.width()),
               width = static_cast<size_t>(state_.width());
  LIME_CHECK(rows.values.size() == n * dim && rows.state.size() == n * width, "table ", config_.name, ": ", n,
             " ids with ", rows.values.size(), " values and ", rows.state.size(), " of state, expected ",
             n * dim, " and ", n * width);
  for (size_t i = 0; i < n; ++i) {
    LIME_CHECK(rows.ids[i] >= 0 && fold(rows.ids[i]) == rows.ids[i], "table ", config_.name, ": row id ",
               rows.ids[i]);
    const int64_t row = append(rows.ids[i], rows.values.data() + i * dim);
    std::copy_n(rows.state.data() + i * width, width, state_.row(row));
  }
}

}  // namespace lime
