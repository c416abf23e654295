#include "embeddings/table_shard.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <new>

#include "embeddings/lookup_kernels.h"
#include "embeddings/row_type.h"
#include "runtime/out_of_memory.h"
#include "runtime/philox.h"

namespace lime {

TableShard::TableShard(const TableConfig& config, uint64_t seed)
    : config_(config),
      seed_(seed),
      name_key_(stream_of(config.name)),
      rounding_prefix_(rounding_prefix(config.name)),
      values_(stored_row_bytes(config)),
      state_(state_width_of(config.optimizer, config.dim) * static_cast<int64_t>(sizeof(float))) {}

void TableShard::initial_row(int64_t id, void* out) const {
  const Philox random(seed_, stream_of("embedding", name_key_, static_cast<uint64_t>(id)));
  const auto deviation = static_cast<float>(config_.init_std);
  if (config_.type == DType::f32) return random.normals(config_.dim, deviation, static_cast<float*>(out));
  std::vector<float> values(static_cast<size_t>(config_.dim));
  random.normals(config_.dim, deviation, values.data());
  std::transform(values.begin(), values.end(), static_cast<bf16*>(out), as_stored<bf16>);
}

template <typename F>
void TableShard::grow(F f) {
  listed_ = {};  // memory, too
  try {
    f();
  } catch (const OutOfMemory& error) {
    fail_without_memory(error.what());
  } catch (const std::bad_alloc& error) {
    fail_without_memory(error.what());
  }
}

void TableShard::append() {
  values_.append();
  state_.append();
  if (!idle_.empty()) idle_.push_back(0);
}

void TableShard::fail_without_memory(const std::string& reason) const {
  throw UserError(str("table ", config_.name, ": no memory for another row beside its ", rows(), " rows (",
                      bytes(), " bytes) on this rank: ", reason,
                      "; expected room for a row for each id: share it among "
                      "ranks on more hosts, or set embeddings.tables.",
                      config_.name, ".capacity, .dim or .admit_after"));
}

int64_t TableShard::admit(int64_t id, const void* values) {
  const int64_t found = ids_.find(id);
  if (is_row(found)) return found;
  const bool admitted = is_admitted(found, config_.admit_after);
  const int64_t place = admitted ? values_.rows() : waiting_place(steps_of(found) + 1, 0);
  grow([&] {
    if (found == no_place)
      ids_.insert(id, place);
    else
      ids_.replace(id, place);
    if (admitted) append();
  });
  if (!admitted) return place;
  std::memcpy(values_.row(place), values, static_cast<size_t>(values_.row_bytes()));
  set_initial_state(config_, state(place));
  return place;
}

// A counting sort by bucket.
void TableShard::list_buckets() const {
  bucket_begin_.assign(static_cast<size_t>(virtual_buckets) + 1, 0);
  ids_.for_each([&](int64_t id, int64_t) { ++bucket_begin_[static_cast<size_t>(bucket_of(id)) + 1]; });
  for (size_t b = 1; b < bucket_begin_.size(); ++b) bucket_begin_[b] += bucket_begin_[b - 1];
  std::vector<size_t> next(bucket_begin_.begin(), bucket_begin_.end() - 1);
  listed_.resize(static_cast<size_t>(ids_.size()));
  ids_.for_each([&](int64_t id, int64_t place) {
    listed_[next[static_cast<size_t>(bucket_of(id))]++] = {id, place};
  });
}

std::optional<int64_t> TableShard::not_finite() const {
  std::optional<int64_t> found;
  ids_.for_each([&](int64_t id, int64_t row) {
    if (!is_row(row) || (found && *found < id)) return;
    with_stored_type(config_.type, [&]<typename Row>(Row) {
      const auto* values = static_cast<const Row*>(values_.row(row));
      const auto finite = [](Row x) { return std::isfinite(widened(x)); };
      if (!std::all_of(values, values + config_.dim, finite)) found = id;
    });
  });
  return found;
}

TableRows TableShard::bucket_rows(int64_t bucket) const {
  if (ids_.size() == 0) return {};
  if (listed_.empty()) list_buckets();
  const auto begin =
      listed_.begin() + static_cast<std::ptrdiff_t>(bucket_begin_[static_cast<size_t>(bucket)]);
  const auto end =
      listed_.begin() + static_cast<std::ptrdiff_t>(bucket_begin_[static_cast<size_t>(bucket) + 1]);
  std::vector<IdPlace> found(begin, end);
  std::sort(found.begin(), found.end(), [](const IdPlace& a, const IdPlace& b) { return a.id < b.id; });
  TableRows rows;
  for (const auto& [id, place] : found) {
    if (is_row(place)) continue;
    rows.waiting.ids.push_back(id);
    rows.waiting.steps.push_back(static_cast<uint8_t>(steps_of(place)));
    rows.waiting.idle.push_back(static_cast<uint8_t>(idle_runs_of(place)));
  }
  const size_t n = found.size() - rows.waiting.ids.size();
  rows.ids.reserve(n);
  const int64_t width = state_width_of(config_.optimizer, config_.dim);
  rows.values.resize(n * static_cast<size_t>(config_.dim));
  rows.state.reserve(n * static_cast<size_t>(width));
  float* values = rows.values.data();
  for (const auto& [id, place] : found) {
    if (!is_row(place)) continue;
    const auto row = place;  // what a lambda may name
    rows.ids.push_back(id);
    with_stored_type(config_.type, [&]<typename Row>(Row) {
      set_row(static_cast<const Row*>(values_.row(row)), values, config_.dim);
    });
    values += config_.dim;
    const auto* of_row = static_cast<const float*>(state_.row(row));
    rows.state.insert(rows.state.end(), of_row, of_row + width);
    rows.idle.push_back(idle_.empty() ? 0 : idle_[static_cast<size_t>(row)]);
  }
  return rows;
}

void TableShard::load_rows(const TableRows& rows) {
  const size_t n = rows.ids.size(), dim = static_cast<size_t>(config_.dim),
               width = static_cast<size_t>(state_width_of(config_.optimizer, config_.dim));
  const int64_t first = values_.rows();
  for (size_t i = 0; i < n; ++i) {
    const int64_t row = values_.rows();
    grow([&] {
      ids_.insert(rows.ids[i], row);
      append();
    });
    const float* values = rows.values.data() + i * dim;
    with_stored_type(config_.type, [&]<typename Row>(Row) {
      std::transform(values, values + dim, static_cast<Row*>(values_.row(row)), as_stored<Row>);
    });
    std::copy_n(rows.state.data() + i * width, width, state(row));
  }
  const bool all_zero =
      std::all_of(rows.idle.begin(), rows.idle.end(), [](uint8_t runs) { return runs == 0; });
  if (!all_zero && idle_.empty()) idle_.resize(static_cast<size_t>(values_.rows()));
  if (!all_zero)
    std::copy(rows.idle.begin(), rows.idle.end(), idle_.begin() + static_cast<std::ptrdiff_t>(first));
  if (config_.admit_after == 1) return;
  const WaitingIds& waiting = rows.waiting;
  grow([&] {
    for (size_t i = 0; i < waiting.ids.size(); ++i)
      ids_.insert(waiting.ids[i], waiting_place(waiting.steps[i], waiting.idle[i]));
  });
}

}  // namespace lime
