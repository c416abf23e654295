#include "embeddings/embedding_collection.h"

#include <algorithm>
#include <set>
#include <utility>

#include "embeddings/device_tables.h"
#include "embeddings/host_tables.h"
#include "embeddings/offloaded_tables.h"
#include "embeddings/sparse_optimizer.h"
#include "parallel/tree_sum.h"
#include "runtime/device_dispatch.h"
#include "runtime/philox.h"
#include "runtime/trace.h"

namespace lime {

int64_t bucket_of(int64_t id) { return bucket_of_hash(mix64(static_cast<uint64_t>(id))); }

int owner_of(int64_t bucket, int ranks) { return static_cast<int>(bucket * ranks / virtual_buckets); }

int64_t first_bucket_of(int rank, int ranks) { return (virtual_buckets * rank + ranks - 1) / ranks; }

// --- a lookup's life ---------------------------------------------------------------------------

// Lookups that are over, with their memory, and those that are under way.
struct LookupPool {
  std::vector<std::unique_ptr<LookupState>> free;
  std::vector<LookupState*> begun;  // in order of begin_lookup

  std::unique_ptr<LookupState> take(Tables& tables) {
    std::unique_ptr<LookupState> state;
    if (free.empty()) {
      state = tables.make_lookup();
    } else {
      state = std::move(free.back());
      free.pop_back();
    }
    begun.push_back(state.get());
    return state;
  }
  void remove_from_begun(const LookupState* state) { std::erase(begun, state); }
};

Lookup::Lookup(std::shared_ptr<LookupPool> pool, std::unique_ptr<LookupState> state)
    : pool_(std::move(pool)), state_(std::move(state)) {}

Lookup::~Lookup() {
  pool_->remove_from_begun(state_.get());
  state_->release();
  pool_->free.push_back(std::move(state_));
}

const FeatureIds& LookupState::feature(int64_t micro_batch, int64_t index) const {
  LIME_CHECK(0 <= micro_batch && micro_batch < static_cast<int64_t>(features.size()), "micro-batch ",
             micro_batch, " of ", features.size());
  const auto& of_micro_batch = features[static_cast<size_t>(micro_batch)];
  LIME_CHECK(0 <= index && index < static_cast<int64_t>(of_micro_batch.size()), "feature ", index, " of ",
             of_micro_batch.size());
  return of_micro_batch[static_cast<size_t>(index)];
}

// --- checks ------------------------------------------------------------------------------------

namespace {

using Stage = LookupState::Stage;

void check_tables(const std::vector<TableConfig>& tables) {
  std::set<std::string> names;
  for (const TableConfig& t : tables) {
    const auto refuse = [&t](const auto&... what) {
      throw UserError(str("embedding table '", t.name, "': ", what...));
    };
    if (!names.insert(t.name).second) refuse("there are two of this name, expected one");
    if (t.type != DType::f32 && t.type != DType::bf16)
      refuse("type is ", to_string(t.type), ", expected f32 or bf16");
    if (t.dim < 1) refuse("dim is ", t.dim, ", expected at least 1");
    if (t.capacity < 0) refuse("capacity is ", t.capacity, ", expected 0 (exact) or more");
    if (t.admit_after < 1 || t.admit_after > 255)
      refuse("admit_after is ", t.admit_after, ", expected 1..255");
    if (!(t.init_std >= 0)) refuse("init_std is ", t.init_std, ", expected 0 or more");
    if (!(t.initial_accumulator >= 0))
      refuse("initial_accumulator is ", t.initial_accumulator, ", expected 0 or more");
  }
}

void check_feature(const FeatureIds& f, std::span<const TableConfig> tables) {
  LIME_CHECK(0 <= f.table && f.table < static_cast<int64_t>(tables.size()), "table ", f.table, " of ",
             tables.size());
  if (f.offsets.empty()) return;
  LIME_CHECK(f.offsets.front() == 0 && f.offsets.back() == static_cast<int64_t>(f.ids.size()), "table ",
             tables[static_cast<size_t>(f.table)].name, ": offsets from ", f.offsets.front(), " to ",
             f.offsets.back(), " over ", f.ids.size(), " ids");
  LIME_CHECK(std::is_sorted(f.offsets.begin(), f.offsets.end()), "table ",
             tables[static_cast<size_t>(f.table)].name, ": offsets decrease");
}

void check_scalar(const Context& ctx, const ConstView& v, const char* what) {
  LIME_CHECK(v.rows() == 1 && v.cols() == 1 && v.dtype() == DType::f64 && v.device() == ctx.device(), what,
             " in ", v.rows(), "x", v.cols(), " ", to_string(v.dtype()), " on ", to_string(v.device()),
             ", expected 1x1 f64 on ", to_string(ctx.device()));
}

}  // namespace

// --- the collection ----------------------------------------------------------------------------

struct EmbeddingCollection::Impl {
  // The view of a feature's rows that `what` is given.
  void check_rows(const LookupState& state, int64_t micro_batch, int64_t index, const ConstView& view,
                  const char* what) const {
    const FeatureIds& f = state.feature(micro_batch, index);
    const TableConfig& table = tables[static_cast<size_t>(f.table)];
    LIME_CHECK(view.device() == ctx.device(), "table ", table.name, " on ", to_string(ctx.device()), ": ",
               what, " ", to_string(view.device()));
    LIME_CHECK(view.rows() == rows_of(f) && view.cols() == table.dim, "table ", table.name, ": ", what, " ",
               view.rows(), "x", view.cols(), ", expected ", rows_of(f), "x", table.dim);
  }
  const TableConfig& table(int64_t index) const {
    LIME_CHECK(0 <= index && index < static_cast<int64_t>(tables.size()), "table ", index, " of ",
               tables.size());
    return tables[static_cast<size_t>(index)];
  }

  Context& ctx;
  std::vector<TableConfig> tables;
  int rank, ranks;
  std::unique_ptr<Tables> backend;
  std::shared_ptr<LookupPool> pool = std::make_shared<LookupPool>();
  int64_t updates = 0;
};

EmbeddingCollection::EmbeddingCollection(Context& ctx, Communicator& comm, std::vector<TableConfig> tables,
                                         uint64_t seed, Communicator* on_device, TableMemory memory) {
  check_tables(tables);
  const TablesOptions options{ctx, comm, on_device, tables, seed};
  auto backend = dispatch_device(
      ctx.device(), "embedding tables", [&] { return make_host_tables(options); },
      [&] {
        return memory == TableMemory::host ? make_offloaded_tables(options) : make_device_tables(options);
      });
  impl_ = std::make_unique<Impl>(Impl{.ctx = ctx,
                                      .tables = std::move(tables),
                                      .rank = comm.rank(),
                                      .ranks = comm.size(),
                                      .backend = std::move(backend)});
}

EmbeddingCollection::~EmbeddingCollection() = default;

const std::vector<TableConfig>& EmbeddingCollection::tables() const { return impl_->tables; }

int64_t EmbeddingCollection::state_width(int64_t table) const {
  const TableConfig& config = impl_->table(table);
  return state_width_of(config.optimizer, config.dim);
}

// --- lookup ------------------------------------------------------------------------------------

std::unique_ptr<Lookup> EmbeddingCollection::begin_lookup(std::vector<std::vector<FeatureIds>> features,
                                                          bool insert) {
  const TraceRange range(impl_->ctx, "embedding_begin_lookup");
  for (const auto& micro_batch : features)
    for (const FeatureIds& f : micro_batch) check_feature(f, impl_->tables);
  std::unique_ptr<Lookup> lookup(new Lookup(impl_->pool, impl_->pool->take(*impl_->backend)));
  LookupState& state = *lookup->state_;
  state.features = std::move(features);
  state.insert = insert;
  state.stage = Stage::begun;
  impl_->backend->begin(state);
  return lookup;
}

void EmbeddingCollection::finish_lookup(Lookup& lookup) {
  const TraceRange range(impl_->ctx, "embedding_finish_lookup");
  LookupState& state = *lookup.state_;
  LIME_CHECK(state.stage == Stage::begun, "a lookup finished twice");
  impl_->backend->finish(state);
  impl_->pool->remove_from_begun(&state);
  state.stage = Stage::finished;
  state.updates_before = impl_->updates;
}

void EmbeddingCollection::gather(Context& ctx, const Lookup& lookup, int64_t micro_batch, int64_t feature,
                                 View out) {
  const TraceRange range(ctx, "embedding_gather");
  const LookupState& state = *lookup.state_;
  LIME_CHECK(state.stage != Stage::begun, "gather before finish_lookup");
  LIME_CHECK(state.updates_before == impl_->updates, "gather after an update");
  impl_->check_rows(state, micro_batch, feature, out, "gather into");
  impl_->backend->gather(state, micro_batch, feature, out);
}

void EmbeddingCollection::add_gradient(Context& ctx, Lookup& lookup, int64_t micro_batch, int64_t feature,
                                       const ConstView& dout, bool stays) {
  const TraceRange range(ctx, "embedding_add_gradient");
  LookupState& state = *lookup.state_;
  LIME_CHECK(state.insert, "a gradient for a lookup that takes none");
  LIME_CHECK(state.stage == Stage::finished, "a gradient before finish_lookup or after reduce");
  impl_->check_rows(state, micro_batch, feature, dout, "gradient from");
  impl_->backend->add_gradient(state, micro_batch, feature, dout, stays);
}

// --- update ------------------------------------------------------------------------------------

void EmbeddingCollection::reduce(Lookup& lookup, int64_t first_leaf, int64_t leaves) {
  const TraceRange range(impl_->ctx, "embedding_reduce");
  LookupState& state = *lookup.state_;
  LIME_CHECK(state.insert && state.stage == Stage::finished,
             "reduce of a lookup not finished, or reduced already");
  const auto [first, last] = leaves_of(leaves, impl_->rank, impl_->ranks);
  const auto micro_batches = static_cast<int64_t>(state.features.size());
  LIME_CHECK(first_leaf == first && micro_batches <= last - first, micro_batches, " micro-batches from leaf ",
             first_leaf, " of ", leaves, ", expected at most ", last - first, " from ", first);
  // A collective moment: the lookups begun meanwhile can send their ids, which then travel under the update.
  for (LookupState* begun : impl_->pool->begun) impl_->backend->advance(*begun);
  impl_->backend->reduce(state);
  state.stage = Stage::reduced;
}

void EmbeddingCollection::gradient_sum_of_squares(Lookup& lookup, View out) {
  const TraceRange range(impl_->ctx, "embedding_gradient_norm");
  check_scalar(impl_->ctx, out, "the gradient's norm");
  LIME_CHECK(lookup.state_->stage == Stage::reduced, "the gradient's norm before reduce or after update");
  impl_->backend->sum_of_squares(*lookup.state_, out);
}

void EmbeddingCollection::update(Lookup& lookup, const ConstView& grad_scale, double lr_scale, int64_t step) {
  const TraceRange range(impl_->ctx, "embedding_update");
  check_scalar(impl_->ctx, grad_scale, "the gradient's scale");
  LookupState& state = *lookup.state_;
  LIME_CHECK(state.stage == Stage::reduced, "update before reduce, or twice, at step ", step);
  LIME_CHECK(step >= 0, "update number ", step);
  impl_->backend->update(state, {grad_scale, lr_scale, static_cast<uint64_t>(step)});
  ++impl_->updates;
  state.stage = Stage::updated;
}

// --- serving -----------------------------------------------------------------------------------

void EmbeddingCollection::read(const FeatureIds& feature, View out) const {
  LIME_CHECK(impl_->ranks == 1, "tables are read on one rank, found ", impl_->ranks);
  check_feature(feature, impl_->tables);
  const TableConfig& table = impl_->table(feature.table);
  LIME_CHECK(out.rows() == rows_of(feature) && out.cols() == table.dim && out.device() == Device{}, "table ",
             table.name, ": read of ", rows_of(feature), "x", table.dim, " into ", out.rows(), "x",
             out.cols());
  impl_->backend->read(feature, out);
}

std::optional<int64_t> EmbeddingCollection::not_finite(int64_t table) const {
  impl_->table(table);
  return impl_->backend->not_finite(table);
}

// --- rows --------------------------------------------------------------------------------------

int64_t EmbeddingCollection::rows(int64_t table) const {
  impl_->table(table);
  return impl_->backend->rows(table);
}

int64_t EmbeddingCollection::waiting(int64_t table) const {
  impl_->table(table);
  return impl_->backend->waiting(table);
}

int64_t EmbeddingCollection::bytes() const { return impl_->backend->bytes(); }

TableRows EmbeddingCollection::bucket_rows(int64_t table, int64_t bucket) const {
  impl_->table(table);
  LIME_CHECK(0 <= bucket && bucket < virtual_buckets, "bucket ", bucket, " of ", virtual_buckets);
  return impl_->backend->bucket_rows(table, bucket);
}

void EmbeddingCollection::load_rows(int64_t table, const TableRows& rows) {
  const TableConfig& config = impl_->table(table);
  const size_t n = rows.ids.size(), dim = static_cast<size_t>(config.dim),
               width = static_cast<size_t>(state_width(table));
  LIME_CHECK(rows.values.size() == n * dim && rows.state.size() == n * width, "table ", config.name, ": ", n,
             " ids with ", rows.values.size(), " values and ", rows.state.size(), " of state, expected ",
             n * dim, " and ", n * width);
  LIME_CHECK(rows.idle.empty() || rows.idle.size() == n, "table ", config.name, ": ", n, " ids, ",
             rows.idle.size(), " of how long they were idle");
  const WaitingIds& waiting = rows.waiting;
  LIME_CHECK(waiting.steps.size() == waiting.ids.size() && waiting.idle.size() == waiting.ids.size(),
             "table ", config.name, ": ", waiting.ids.size(), " waiting ids, ", waiting.steps.size(),
             " of their steps and ", waiting.idle.size(), " of how long they were idle");
  for (const uint8_t steps : waiting.steps)
    LIME_CHECK(1 <= steps && steps < 255, "table ", config.name, ": an id that waits after ", int{steps},
               " steps");
  for (const auto* ids : {&rows.ids, &waiting.ids}) {
    for (const int64_t id : *ids) {
      LIME_CHECK(id >= 0 && (config.capacity == 0 || id < config.capacity), "table ", config.name,
                 ": row id ", id);
      const int owner = owner_of(bucket_of(id), impl_->ranks);
      LIME_CHECK(owner == impl_->rank, "table ", config.name, ": id ", id, " belongs to rank ", owner);
    }
  }
  impl_->backend->load_rows(table, rows);
}

}  // namespace lime
