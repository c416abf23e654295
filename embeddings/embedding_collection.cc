#include "embeddings/embedding_collection.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <set>
#include <utility>

#include "embeddings/bucket_order.h"
#include "embeddings/exchange.h"
#include "embeddings/lookup.h"
#include "embeddings/read_rows.h"
#include "embeddings/sparse_optimizer.h"
#include "parallel/tree_sum.h"
#include "runtime/host_copy.h"
#include "runtime/philox.h"
#include "runtime/primitives.h"
#include "runtime/trace.h"

namespace lime {

int64_t bucket_of(int64_t id) { return bucket_of_hash(mix64(static_cast<uint64_t>(id))); }

int owner_of(int64_t bucket, int ranks) { return static_cast<int>(bucket * ranks / virtual_buckets); }

int64_t first_bucket_of(int rank, int ranks) { return (virtual_buckets * rank + ranks - 1) / ranks; }

Lookup::Lookup(std::shared_ptr<LookupPool> pool, std::unique_ptr<LookupState> state)
    : pool_(std::move(pool)), state_(std::move(state)) {}

Lookup::~Lookup() {
  pool_->remove_from_begun(state_.get());
  state_->requests.work.reset();  // waits
  pool_->free.push_back(std::move(state_));
}

namespace {

using Stage = LookupState::Stage;

class Stopwatch {
 public:
  explicit Stopwatch(double& total_ms) : total_ms_(total_ms) {}
  ~Stopwatch() {
    total_ms_ += std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin_).count();
  }

 private:
  double& total_ms_;
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

void check_tables(const std::vector<TableConfig>& tables) {
  std::set<std::string> names;
  for (const TableConfig& t : tables) {
    const auto refuse = [&t](const auto&... what) {
      throw UserError(str("embedding table '", t.name, "': ", what...));
    };
    if (!names.insert(t.name).second) refuse("there are two of this name, expected one");
    if (t.dim < 1) refuse("dim is ", t.dim, ", expected at least 1");
    if (t.capacity < 0) refuse("capacity is ", t.capacity, ", expected 0 (exact) or more");
    if (!(t.init_std >= 0)) refuse("init_std is ", t.init_std, ", expected 0 or more");
    if (!(t.initial_accumulator >= 0))
      refuse("initial_accumulator is ", t.initial_accumulator, ", expected 0 or more");
  }
}

std::vector<int64_t> dims_of(const std::vector<TableConfig>& tables) {
  std::vector<int64_t> dims;
  for (const TableConfig& t : tables) dims.push_back(t.dim);
  return dims;
}

void check_scalar(const Context& ctx, const ConstView& v, const char* what) {
  LIME_CHECK(v.rows() == 1 && v.cols() == 1 && v.dtype() == DType::f64 && v.device() == ctx.device(), what,
             " in ", v.rows(), "x", v.cols(), " ", to_string(v.dtype()), " on ", to_string(v.device()),
             ", expected 1x1 f64 on ", to_string(ctx.device()));
}

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

}  // namespace

struct EmbeddingCollection::Impl {
  Impl(Context& context, Communicator& comm, std::vector<TableConfig> configs, uint64_t seed)
      : ctx(context), tables(std::move(configs)), exchange(comm, dims_of(tables)) {
    for (const TableConfig& table : tables) shards.emplace_back(table, seed);
  }

  const TableShard& shard(int64_t table) const {
    LIME_CHECK(0 <= table && table < static_cast<int64_t>(shards.size()), "table ", table, " of ",
               shards.size());
    return shards[static_cast<size_t>(table)];
  }
  TableShard& shard(int64_t table) { return const_cast<TableShard&>(std::as_const(*this).shard(table)); }

  void update_table(TableShard& shard, TableLookup& table, const float* answers, double grad_scale,
                    double lr_scale);
  void sum_buckets(const LookupState& state);

  Context& ctx;
  std::vector<TableConfig> tables;
  RowExchange exchange;
  std::vector<TableShard> shards;
  std::shared_ptr<LookupPool> pool = std::make_shared<LookupPool>();
  Timing timing;

  // Scratch kept between steps.
  Dedup dedup;
  BucketOrder order;
  std::vector<double> row_sums, bucket_sums, all_bucket_sums;
  std::vector<RowUpdate> updates;
};

EmbeddingCollection::EmbeddingCollection(Context& ctx, Communicator& comm, std::vector<TableConfig> tables,
                                         uint64_t seed) {
  check_tables(tables);
  impl_ = std::make_unique<Impl>(ctx, comm, std::move(tables), seed);
}

EmbeddingCollection::~EmbeddingCollection() = default;

const std::vector<TableConfig>& EmbeddingCollection::tables() const { return impl_->tables; }

int64_t EmbeddingCollection::state_width(int64_t table) const {
  const TableConfig& config = impl_->shard(table).config();
  return state_width_of(config.optimizer, config.dim);
}

// --- lookup ------------------------------------------------------------------------------------

std::unique_ptr<Lookup> EmbeddingCollection::begin_lookup(std::vector<std::vector<FeatureIds>> features,
                                                          bool insert) {
  const TraceRange range(impl_->ctx, "embedding_begin_lookup");
  check_features(features, impl_->tables);
  std::unique_ptr<Lookup> lookup(new Lookup(impl_->pool, impl_->pool->take()));
  LookupState& state = *lookup->state_;
  state.features = std::move(features);
  state.insert = insert;
  state.stage = Stage::begun;
  state.requests.stage = Requests::Stage::idle;
  collect_ids(state, impl_->dedup, impl_->shards, impl_->exchange);
  impl_->exchange.start(state.requests);
  return lookup;
}

void EmbeddingCollection::finish_lookup(Lookup& lookup) {
  const TraceRange range(impl_->ctx, "embedding_finish_lookup");
  LookupState& state = *lookup.state_;
  LIME_CHECK(state.stage == Stage::begun, "a lookup finished twice");
  impl_->exchange.finish_ids(state.requests);
  {
    const Stopwatch watch(impl_->timing.gather_ms);
    answer_requests(state, impl_->dedup, impl_->shards, impl_->exchange);
  }
  impl_->exchange.exchange_rows(state.requests);
  impl_->pool->remove_from_begun(&state);
  state.stage = Stage::finished;
  if (!state.insert) return;
  for (size_t t = 0; t < state.tables.size(); ++t) {
    TableLookup& table = state.tables[t];
    table.gradients.discard_and_reserve(table.wanted.slots * impl_->tables[t].dim);
    std::fill_n(table.present.discard_and_reserve(table.wanted.slots), table.wanted.slots, uint8_t{0});
  }
}

void EmbeddingCollection::gather(Context& ctx, const Lookup& lookup, int64_t micro_batch, int64_t feature,
                                 View out) {
  const TraceRange range(ctx, "embedding_gather");
  const Stopwatch watch(impl_->timing.gather_ms);
  const LookupState& state = *lookup.state_;
  LIME_CHECK(state.stage != Stage::begun, "gather before finish_lookup");
  const FeatureSlots slots = state.slots_of(micro_batch, feature);
  const auto table = static_cast<size_t>(
      state.features[static_cast<size_t>(micro_batch)][static_cast<size_t>(feature)].table);
  const int64_t dim = impl_->tables[table].dim;
  LIME_CHECK(out.device() == Device{}, "tables are in host memory: gather into ", to_string(out.device()));
  LIME_CHECK(out.rows() == slots.rows && out.cols() == dim, "table ", impl_->tables[table].name,
             ": gather of ", slots.rows, "x", dim, " into ", out.rows(), "x", out.cols());
  for_type(out.dtype(), [&]<typename T>(T*) {
    gather_rows(slots, state.requests.rows.data(), state.tables[table].row_of_slot.data(), dim, out.data<T>(),
                out.stride());
  });
}

void EmbeddingCollection::add_gradient(Context& ctx, Lookup& lookup, int64_t micro_batch, int64_t feature,
                                       const ConstView& dout) {
  const TraceRange range(ctx, "embedding_add_gradient");
  LookupState& state = *lookup.state_;
  LIME_CHECK(state.insert, "a gradient for a lookup that takes none");
  LIME_CHECK(state.stage == Stage::finished, "a gradient before finish_lookup or after reduce");
  const FeatureSlots slots = state.slots_of(micro_batch, feature);
  const auto index = static_cast<size_t>(
      state.features[static_cast<size_t>(micro_batch)][static_cast<size_t>(feature)].table);
  TableLookup& table = state.tables[index];
  const int64_t dim = impl_->tables[index].dim;
  LIME_CHECK(dout.device() == Device{}, "tables are in host memory: a gradient from ",
             to_string(dout.device()));
  LIME_CHECK(dout.rows() == slots.rows && dout.cols() == dim, "table ", impl_->tables[index].name,
             ": gradient of ", slots.rows, "x", dim, " from ", dout.rows(), "x", dout.cols());
  for_type(dout.dtype(), [&]<typename T>(T*) {
    scatter_rows(slots, dout.data<T>(), dout.stride(), dim, table.gradients.data(), table.present.data());
  });
}

// --- update ------------------------------------------------------------------------------------

void EmbeddingCollection::reduce(Lookup& lookup, int64_t first_leaf, int64_t leaves) {
  const TraceRange range(impl_->ctx, "embedding_reduce");
  LookupState& state = *lookup.state_;
  LIME_CHECK(state.insert && state.stage == Stage::finished,
             "reduce of a lookup not finished, or reduced already");
  const auto [first, last] = leaves_of(leaves, impl_->exchange.rank(), impl_->exchange.ranks());
  const auto micro_batches = static_cast<int64_t>(state.features.size());
  LIME_CHECK(first_leaf == first && micro_batches <= last - first, micro_batches, " micro-batches from leaf ",
             first_leaf, " of ", leaves, ", expected at most ", last - first, " from ", first);
  // A collective moment: the lookups begun meanwhile can send their ids, which then travel under the update.
  for (LookupState* begun : impl_->pool->begun) impl_->exchange.advance(begun->requests);
  reduce_gradients(state, impl_->exchange);
  state.stage = Stage::reduced;
}

// bucket_sums[table, bucket - this rank's first bucket].
void EmbeddingCollection::Impl::sum_buckets(const LookupState& state) {
  const int ranks = exchange.ranks();
  const int64_t most = (virtual_buckets + ranks - 1) / ranks;
  const int64_t first = first_bucket_of(exchange.rank(), ranks);
  bucket_sums.assign(shards.size() * static_cast<size_t>(most), 0.0);
  for (size_t t = 0; t < shards.size(); ++t) {
    const TableLookup& table = state.tables[t];
    row_sums.assign(static_cast<size_t>(table.owned.size), 0.0);
    for (int32_t u = 0; u < table.owned.size; ++u) {
      if (table.total[u])
        row_sums[static_cast<size_t>(u)] = row_sum_of_squares(table.total[u], tables[t].dim);
    }
    order.sort({table.owned.ids.data(), static_cast<size_t>(table.owned.size)});
    double* sums = bucket_sums.data() + t * static_cast<size_t>(most);
    order.for_each(
        [&](int32_t bucket, int32_t u) { sums[bucket - first] += row_sums[static_cast<size_t>(u)]; });
  }
}

void EmbeddingCollection::gradient_sum_of_squares(Lookup& lookup, View out) {
  const TraceRange range(impl_->ctx, "embedding_gradient_norm");
  check_scalar(impl_->ctx, out, "the gradient's norm");
  LIME_CHECK(lookup.state_->stage == Stage::reduced, "the gradient's norm before reduce or after update");
  Impl& impl = *impl_;
  impl.sum_buckets(*lookup.state_);
  const int ranks = impl.exchange.ranks();
  const auto mine = static_cast<int64_t>(impl.bucket_sums.size());
  impl.all_bucket_sums.resize(static_cast<size_t>(mine * ranks));
  {
    const Stopwatch watch(impl.timing.exchange_wait_ms);
    impl.exchange.communicator()
        .all_gather(ConstView(impl.bucket_sums.data(), 1, mine),
                    View(impl.all_bucket_sums.data(), 1, mine * ranks))
        ->wait();
  }
  const int64_t tables = static_cast<int64_t>(impl.shards.size()), most = tables > 0 ? mine / tables : 0;
  double sum = 0;
  for (int64_t t = 0; t < tables; ++t) {
    for (int64_t bucket = 0; bucket < virtual_buckets; ++bucket) {
      const int owner = owner_of(bucket, ranks);
      const int64_t first = first_bucket_of(owner, ranks);
      sum += impl.all_bucket_sums[static_cast<size_t>(owner * mine + t * most + bucket - first)];
    }
  }
  fill(impl.ctx, out, sum);
}

void EmbeddingCollection::Impl::update_table(TableShard& shard, TableLookup& table, const float* answers,
                                             double grad_scale, double lr_scale) {
  // New rows first: they may move the rows of a small table.
  for (int32_t u = 0; u < table.owned.size; ++u) {
    if (!table.total[u] || table.shard_row[u] != IdMap::absent) continue;
    // Another lookup's update may have been there in between.
    int64_t row = shard.ids().find(table.owned.ids[u]);
    if (row == IdMap::absent) row = shard.insert(table.owned.ids[u], answers + table.answer[u]);
    table.shard_row[u] = row;
  }
  updates.clear();
  for (int32_t u = 0; u < table.owned.size; ++u) {
    if (!table.total[u]) continue;
    const int64_t row = table.shard_row[u];
    updates.push_back({shard.values().row(row), shard.state().row(row), table.total[u]});
  }
  update_rows(shard.config(), grad_scale, lr_scale, updates);
}

void EmbeddingCollection::update(Lookup& lookup, const ConstView& grad_scale, double lr_scale, int64_t step) {
  const TraceRange range(impl_->ctx, "embedding_update");
  const Stopwatch watch(impl_->timing.update_ms);
  check_scalar(impl_->ctx, grad_scale, "the gradient's scale");
  LookupState& state = *lookup.state_;
  LIME_CHECK(state.stage == Stage::reduced, "update before reduce, or twice, at step ", step);
  const float* answers = impl_->exchange.answers(state.requests);
  const double scale = host_copy(impl_->ctx, grad_scale).view().data<double>()[0];
  for (size_t t = 0; t < impl_->shards.size() && std::isfinite(scale); ++t) {
    impl_->update_table(impl_->shards[t], state.tables[t], answers, scale, lr_scale);
  }
  state.stage = Stage::updated;
}

// --- serving -----------------------------------------------------------------------------------

void EmbeddingCollection::read(const FeatureIds& feature, View out) const {
  LIME_CHECK(impl_->exchange.alone(), "tables are read on one rank, found ", impl_->exchange.ranks());
  check_feature(feature, impl_->tables);
  const TableShard& shard = impl_->shard(feature.table);
  const auto rows =
      static_cast<int64_t>(feature.offsets.empty() ? feature.ids.size() : feature.offsets.size() - 1);
  LIME_CHECK(out.rows() == rows && out.cols() == shard.config().dim && out.device() == Device{}, "table ",
             shard.config().name, ": read of ", rows, "x", shard.config().dim, " into ", out.rows(), "x",
             out.cols());
  read_rows(shard, feature, out.data<float>(), out.stride());
}

std::optional<int64_t> EmbeddingCollection::not_finite(int64_t table) const {
  return impl_->shard(table).not_finite();
}

// --- rows --------------------------------------------------------------------------------------

int64_t EmbeddingCollection::rows(int64_t table) const { return impl_->shard(table).rows(); }

int64_t EmbeddingCollection::bytes() const {
  int64_t bytes = 0;
  for (const TableShard& shard : impl_->shards) bytes += shard.bytes();
  return bytes;
}

TableRows EmbeddingCollection::bucket_rows(int64_t table, int64_t bucket) const {
  LIME_CHECK(0 <= bucket && bucket < virtual_buckets, "bucket ", bucket, " of ", virtual_buckets);
  return impl_->shard(table).bucket_rows(bucket);
}

void EmbeddingCollection::load_rows(int64_t table, const TableRows& rows) {
  for (const int64_t id : rows.ids) {
    const int owner = owner_of(bucket_of(id), impl_->exchange.ranks());
    LIME_CHECK(owner == impl_->exchange.rank(), "table ", impl_->shard(table).config().name, ": id ", id,
               " belongs to rank ", owner);
  }
  impl_->shard(table).load_rows(rows);
}

EmbeddingCollection::Timing EmbeddingCollection::take_timing() {
  impl_->timing.exchange_wait_ms += impl_->exchange.take_wait_ms();
  return std::exchange(impl_->timing, {});
}

}  // namespace lime
