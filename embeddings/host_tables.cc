#include "embeddings/host_tables.h"

#include <algorithm>
#include <cmath>

#include "embeddings/bucket_order.h"
#include "embeddings/exchange.h"
#include "embeddings/lookup.h"
#include "embeddings/read_rows.h"
#include "embeddings/row_type.h"
#include "embeddings/sparse_optimizer.h"

namespace lime {
namespace {

// Calls f with a null pointer of the view's element type.
template <typename F>
void for_type(DType dtype, F f) {
  switch (dtype) {
    case DType::f32:
      return f(static_cast<float*>(nullptr));
    case DType::f64:
      return f(static_cast<double*>(nullptr));
    case DType::i64:
    case DType::bf16:
      break;
  }
  LIME_CHECK(false, "embeddings of ", to_string(dtype));
}

class HostTables final : public Tables {
 public:
  explicit HostTables(const TablesOptions& options)
      : tables_(options.tables), exchange_(options.comm, tables_) {
    for (const TableConfig& table : tables_) shards_.emplace_back(table, options.seed);
  }

  std::unique_ptr<LookupState> make_lookup() override { return std::make_unique<HostLookup>(); }

  void begin(LookupState& lookup) override {
    HostLookup& state = of(lookup);
    state.requests.stage = Requests::Stage::idle;
    collect_ids(state, dedup_, shards_, exchange_);
    exchange_.start(state.requests);
  }

  void advance(LookupState& lookup) override { exchange_.advance(of(lookup).requests); }

  void finish(LookupState& lookup) override {
    HostLookup& state = of(lookup);
    exchange_.finish_ids(state.requests);
    answer_requests(state, dedup_, shards_, exchange_);
    exchange_.exchange_rows(state.requests);
    place_rows(state, shards_, exchange_);
    if (!state.insert) return;
    for (size_t t = 0; t < state.tables.size(); ++t) {
      TableLookup& table = state.tables[t];
      table.gradients.discard_and_reserve(table.wanted.slots * tables_[t].dim);
      std::fill_n(table.present.discard_and_reserve(table.wanted.slots), table.wanted.slots, uint8_t{0});
    }
  }

  void gather(const LookupState& lookup, int64_t micro_batch, int64_t feature, View out) override {
    const auto& state = static_cast<const HostLookup&>(lookup);
    const auto table = static_cast<size_t>(state.feature(micro_batch, feature).table);
    for_type(out.dtype(), [&]<typename T>(T*) {
      with_stored_type(tables_[table].type, [&]<typename Row>(Row) {
        gather_rows<Row>(state.slots_of(micro_batch, feature), state.tables[table].row_of_slot.data(),
                         tables_[table].dim, out.data<T>(), out.stride());
      });
    });
  }

  void add_gradient(LookupState& lookup, int64_t micro_batch, int64_t feature, const ConstView& dout,
                    bool /*stays*/) override {
    HostLookup& state = of(lookup);
    const auto index = static_cast<size_t>(state.feature(micro_batch, feature).table);
    TableLookup& table = state.tables[index];
    for_type(dout.dtype(), [&]<typename T>(T*) {
      scatter_rows(state.slots_of(micro_batch, feature), dout.data<T>(), dout.stride(), tables_[index].dim,
                   table.gradients.data(), table.present.data());
    });
  }

  void reduce(LookupState& lookup) override { reduce_gradients(of(lookup), exchange_); }
  void sum_of_squares(LookupState&, View out) override;
  void update(LookupState&, const UpdateStep&) override;

  void read(const FeatureIds& feature, View out) const override {
    read_rows(shard(feature.table), feature, out.data<float>(), out.stride());
  }
  std::optional<int64_t> not_finite(int64_t table) const override { return shard(table).not_finite(); }

  int64_t rows(int64_t table) const override { return shard(table).rows(); }
  int64_t waiting(int64_t table) const override { return shard(table).waiting(); }
  int64_t bytes() const override {
    int64_t bytes = 0;
    for (const TableShard& shard : shards_) bytes += shard.bytes();
    return bytes;
  }
  TableRows bucket_rows(int64_t table, int64_t bucket) const override {
    return shard(table).bucket_rows(bucket);
  }
  void load_rows(int64_t table, const TableRows& rows) override {
    shards_[static_cast<size_t>(table)].load_rows(rows);
  }

 private:
  static HostLookup& of(LookupState& lookup) { return static_cast<HostLookup&>(lookup); }
  const TableShard& shard(int64_t table) const { return shards_[static_cast<size_t>(table)]; }
  void sum_buckets(const HostLookup& state);
  void update_table(TableShard& shard, TableLookup& table, const float* answers, const UpdateStep& step);

  std::vector<TableConfig> tables_;
  RowExchange exchange_;
  std::vector<TableShard> shards_;

  // Scratch kept between steps.
  Dedup dedup_;
  BucketOrder order_;
  std::vector<double> row_sums_, bucket_sums_, all_bucket_sums_;
  std::vector<RowUpdate> updates_;
};

// bucket_sums_[table, bucket - this rank's first bucket].
void HostTables::sum_buckets(const HostLookup& state) {
  const int ranks = exchange_.ranks();
  const int64_t most = (virtual_buckets + ranks - 1) / ranks;
  const int64_t first = first_bucket_of(exchange_.rank(), ranks);
  bucket_sums_.assign(shards_.size() * static_cast<size_t>(most), 0.0);
  for (size_t t = 0; t < shards_.size(); ++t) {
    const TableLookup& table = state.tables[t];
    row_sums_.assign(static_cast<size_t>(table.owned.size), 0.0);
    for (int32_t u = 0; u < table.owned.size; ++u) {
      if (table.total[u] && shards_[t].uses_gradient(table.owned.ids[u], table.shard_row[u]))
        row_sums_[static_cast<size_t>(u)] = row_sum_of_squares(table.total[u], tables_[t].dim);
    }
    order_.sort({table.owned.ids.data(), static_cast<size_t>(table.owned.size)});
    double* sums = bucket_sums_.data() + t * static_cast<size_t>(most);
    order_.for_each(
        [&](int32_t bucket, int32_t u) { sums[bucket - first] += row_sums_[static_cast<size_t>(u)]; });
  }
}

void HostTables::sum_of_squares(LookupState& lookup, View out) {
  sum_buckets(of(lookup));
  const int ranks = exchange_.ranks();
  const auto mine = static_cast<int64_t>(bucket_sums_.size());
  all_bucket_sums_.resize(static_cast<size_t>(mine * ranks));
  exchange_.communicator()
      .all_gather(ConstView(bucket_sums_.data(), 1, mine), View(all_bucket_sums_.data(), 1, mine * ranks))
      ->wait();
  const int64_t tables = static_cast<int64_t>(shards_.size()), most = tables > 0 ? mine / tables : 0;
  double sum = 0;
  for (int64_t t = 0; t < tables; ++t) {
    for (int64_t bucket = 0; bucket < virtual_buckets; ++bucket) {
      const int owner = owner_of(bucket, ranks);
      const int64_t first = first_bucket_of(owner, ranks);
      sum += all_bucket_sums_[static_cast<size_t>(owner * mine + t * most + bucket - first)];
    }
  }
  *out.data<double>() = sum;
}

void HostTables::update_table(TableShard& shard, TableLookup& table, const float* answers,
                              const UpdateStep& step) {
  // New rows first: they may move the rows of a small table.
  for (int32_t u = 0; u < table.owned.size; ++u) {
    if (table.total[u] && !is_row(table.shard_row[u]))
      table.shard_row[u] = shard.admit(table.owned.ids[u], answers + table.answer[u]);
  }
  updates_.clear();
  for (int32_t u = 0; u < table.owned.size; ++u) {
    const int64_t row = table.shard_row[u];
    if (!table.total[u] || !is_row(row)) continue;
    updates_.push_back({shard.values().row(row), shard.state(row), table.total[u], table.owned.ids[u]});
    shard.set_updated(row);
  }
  update_rows(shard.config(), *step.grad_scale.data<double>(), step.lr_scale, shard.rounding(step.number),
              updates_);
}

void HostTables::update(LookupState& lookup, const UpdateStep& step) {
  HostLookup& state = of(lookup);
  if (!std::isfinite(*step.grad_scale.data<double>())) return;
  const float* answers = exchange_.answers(state.requests);
  for (size_t t = 0; t < shards_.size(); ++t) update_table(shards_[t], state.tables[t], answers, step);
}

}  // namespace

std::unique_ptr<Tables> make_host_tables(const TablesOptions& options) {
  return std::make_unique<HostTables>(options);
}

}  // namespace lime
