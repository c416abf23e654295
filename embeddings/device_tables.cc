#include "embeddings/device_tables.h"

#include <algorithm>
#include <functional>

#include "embeddings/device_exchange.h"
#include "embeddings/device_lookup.h"
#include "embeddings/device_rows.h"
#include "embeddings/row_counts.h"

namespace lime {
namespace {

class DeviceTables final : public Tables {
 public:
  explicit DeviceTables(const TablesOptions& options)
      : ctx_(options.ctx),
        configs_(options.tables),
        queue_(std::make_shared<IdQueue>(options.ctx.device())),
        counts_(options.ctx, 2 * table_count()),
        readers_(configs_.size()) {
    std::vector<int64_t> capacities;
    for (const TableConfig& config : configs_) {
      tables_.push_back(std::make_unique<DeviceTable>(ctx_, config, options.seed));
      capacities.push_back(config.capacity);
      widest_ = std::max(widest_, tables_.back()->on_device().pitch);
    }
    const size_t bytes = capacities.size() * sizeof(int64_t);
    ctx_.stream().to_device(capacities.data(), bytes,
                            capacities_.discard_and_reserve(ctx_.device(), table_count()), bytes, {1, bytes});
    ctx_.synchronize();  // the ids' stream reads them
    describe();
    if (options.comm.size() == 1) return;
    LIME_CHECK(options.on_device, "tables on ", to_string(ctx_.device()), " of ", options.comm.size(),
               " ranks without a communicator there");
    DeviceRowExchange::Widths widths;
    for (const auto& table : tables_) {
      widths.gradients.push_back(table->on_device().pitch);
      widths.rows.push_back(table->on_device().message_width);
    }
    exchange_ =
        std::make_unique<DeviceRowExchange>(ctx_, options.comm, *options.on_device, std::move(widths));
  }

  std::unique_ptr<LookupState> make_lookup() override {
    auto lookup = std::make_unique<DeviceLookup>(ctx_, queue_);
    if (exchange_) lookup->requests = std::make_unique<DeviceRequests>();
    return lookup;
  }

  void begin(LookupState& lookup) override {
    of(lookup).find_ids({capacities_.data(), configs_, exchange_ ? exchange_->ranks() : 1});
    if (exchange_) of(lookup).requests->stage = DeviceRequests::Stage::begun;
  }
  void advance(LookupState& lookup) override {
    if (exchange_) exchange_->send_ids(of(lookup));
  }
  void finish(LookupState&) override;

  void gather(const LookupState& lookup, int64_t micro_batch, int64_t feature, View out) override {
    const auto& state = static_cast<const DeviceLookup&>(lookup);
    const auto table = static_cast<size_t>(state.feature(micro_batch, feature).table);
    cuda::gather_rows(ctx_, state.on_device(micro_batch, feature), state.wanted, tables_[table]->on_device(),
                      state.address.data(), out);
  }

  void add_gradient(LookupState& lookup, int64_t micro_batch, int64_t feature, const ConstView& dout,
                    bool stays) override {
    DeviceLookup& state = of(lookup);
    const int64_t t = state.feature(micro_batch, feature).table;
    const TableOnDevice& table = tables_[static_cast<size_t>(t)]->on_device();
    const cuda::SlotGradients out{state.gradients.data() + state.first_gradient[static_cast<size_t>(t)],
                                  state.slot_begin(t * owners()),
                                  table.dim,
                                  table.pitch,
                                  state.part.data(),
                                  stays && one_micro_batch(state)};
    cuda::add_gradients(ctx_, state.on_device(micro_batch, feature), state.wanted, out, dout);
  }

  void reduce(LookupState&) override;
  void sum_of_squares(LookupState&, View out) override;
  void update(LookupState&, const UpdateStep&) override;

  void read(const FeatureIds&, View) const override { refuse_to_serve(); }
  std::optional<int64_t> not_finite(int64_t) const override { refuse_to_serve(); }

  int64_t rows(int64_t table) const override { return counts_.exact()[static_cast<size_t>(table)]; }
  int64_t waiting(int64_t table) const override {
    return counts_.exact()[static_cast<size_t>(table_count() + table)] - rows(table);
  }
  int64_t bytes() const override {
    int64_t bytes = 0;
    for (const auto& table : tables_) bytes += table->bytes();
    return bytes;
  }
  TableRows bucket_rows(int64_t table, int64_t bucket) const override {
    const auto t = static_cast<size_t>(table);
    const IdCounts count{rows(table), waiting(table)};
    return count.all() == 0 ? TableRows{} : readers_[t].bucket(ctx_, *tables_[t], count, bucket);
  }
  void load_rows(int64_t table, const TableRows& rows) override {
    const auto t = static_cast<size_t>(table);
    readers_[t].forget();
    const IdCounts more = lime::load_rows(ctx_, *tables_[t], {this->rows(table), waiting(table)}, rows);
    counts_.add(table, more.rows);
    counts_.add(table_count() + table, more.all());
    describe();
  }

 private:
  static DeviceLookup& of(LookupState& lookup) { return static_cast<DeviceLookup&>(lookup); }
  int64_t table_count() const { return static_cast<int64_t>(configs_.size()); }
  [[noreturn]] void refuse_to_serve() const {
    throw Error(
        str("tables on ", to_string(ctx_.device()), " are read by lookups alone; serve with device: cpu"));
  }
  int owners() const { return exchange_ ? exchange_->ranks() : 1; }
  DistinctView wanted(const DeviceLookup& state) const {
    return view_of(state.wanted, table_count(), owners(), state.distinct());
  }
  // As the owner of rows: on one rank, of what it wants itself.
  DistinctView owned(const DeviceLookup& state) const {
    if (!exchange_) return wanted(state);
    return view_of(state.requests->owned, table_count(), 1, state.requests->received.ids());
  }
  // Then an id has one slot, of its own number.
  static bool one_micro_batch(const DeviceLookup& state) { return state.features.size() == 1; }
  float** totals(const DeviceLookup& state) const {
    return exchange_ ? state.requests->total.data() : state.total.data();
  }
  void answer(DeviceLookup&);
  void make_room(std::span<const int64_t> new_ids);
  void describe();

  Context& ctx_;
  std::vector<TableConfig> configs_;
  std::shared_ptr<IdQueue> queue_;
  std::vector<std::unique_ptr<DeviceTable>> tables_;
  std::unique_ptr<DeviceRowExchange> exchange_;  // null on one rank
  DeviceBuffer<int64_t> capacities_;
  std::vector<TableOnDevice> described_;  // as the kernels see them
  DeviceBuffer<TableOnDevice> on_device_;
  int64_t widest_ = 1;        // floats of a row
  mutable RowCounts counts_;  // of the tables' rows, then of their ids
  mutable std::vector<DeviceRowReader> readers_;
};

// Tells the device where the tables are, if one has moved.
void DeviceTables::describe() {
  std::vector<TableOnDevice> now;
  for (const auto& table : tables_) now.push_back(table->on_device());
  const auto moved = [](const TableOnDevice& a, const TableOnDevice& b) { return a.entries != b.entries; };
  if (!described_.empty() && std::equal(now.begin(), now.end(), described_.begin(), std::not_fn(moved)))
    return;
  described_ = std::move(now);
  const size_t bytes = described_.size() * sizeof(TableOnDevice);
  ctx_.stream().to_device(described_.data(), bytes,
                          on_device_.discard_and_reserve(ctx_.device(), table_count()), bytes, {1, bytes});
}

// Room for so many more ids of each table, with and without rows. What the host knows of the tables' rows may
// be more than there are: it asks the device only where there would not be memory enough.
void DeviceTables::make_room(std::span<const int64_t> new_ids) {
  const std::vector<int64_t> at_most = counts_.at_most();
  for (size_t t = 0; t < tables_.size(); ++t) {
    const int64_t capacity = configs_[t].capacity;
    const auto reserve = [&](const std::vector<int64_t>& counts) {
      const auto bounded = [&](int64_t n) { return capacity > 0 ? std::min(n, capacity) : n; };
      tables_[t]->reserve(bounded(counts[t] + new_ids[t]), bounded(counts[tables_.size() + t] + new_ids[t]));
    };
    try {
      reserve(at_most);
    } catch (const UserError&) {
      reserve(counts_.exact());
    }
  }
  describe();
}

// Every rank's ids get their rows, in the order in which they were asked.
void DeviceTables::answer(DeviceLookup& state) {
  DeviceRequests& r = *state.requests;
  const Device device = ctx_.device();
  exchange_->receive_ids(state);
  const int64_t received = r.received.ids();
  const void** address = r.address.discard_and_reserve(device, received);
  cuda::find_rows(ctx_, owned(state), on_device_.data(),
                  state.shard_row.discard_and_reserve(device, received), address);
  float* const answers = r.answers.discard_and_reserve(device, r.received_rows.floats());
  for (int rank = 0; rank < exchange_->ranks(); ++rank) {
    for (int64_t t = 0; t < table_count(); ++t) {
      const int64_t n = r.received.count(rank, t);
      if (n == 0) continue;
      const TableOnDevice& table = tables_[static_cast<size_t>(t)]->on_device();
      // Whole packs, with the zeros behind the table's columns, of the type that they have there.
      const int64_t stride = table.message_width * (table.type == DType::bf16 ? 2 : 1);
      cuda::gather_rows(
          ctx_, {n, n, nullptr, false, r.received.first_id(rank, t)}, r.owned, table, address,
          View(answers + r.received_rows.first_float(rank, t), table.type, device, n, table.pitch, stride));
    }
  }
  exchange_->exchange_rows(state, on_device_.data());
}

void DeviceTables::finish(LookupState& lookup) {
  DeviceLookup& state = of(lookup);
  const Device device = ctx_.device();
  if (exchange_) {
    answer(state);
  } else {
    state.wait_for_ids();
    cuda::find_rows(ctx_, owned(state), on_device_.data(),
                    state.shard_row.discard_and_reserve(device, state.distinct()),
                    state.address.discard_and_reserve(device, state.distinct()));
  }
  if (!state.insert) return;
  state.first_gradient.clear();
  int64_t floats = 0;
  for (int64_t t = 0; t < table_count(); ++t) {
    state.first_gradient.push_back(floats);
    const int64_t slots = state.slot_begin((t + 1) * owners()) - state.slot_begin(t * owners());
    floats += slots * tables_[static_cast<size_t>(t)]->on_device().pitch;
  }
  state.gradients.discard_and_reserve(device, floats);
  const auto bytes = static_cast<size_t>(state.slots()) * sizeof(float*);
  ctx_.stream().zero(state.part.discard_and_reserve(device, state.slots()), bytes, {1, bytes});
}

void DeviceTables::reduce(LookupState& lookup) {
  DeviceLookup& state = of(lookup);
  const Device device = ctx_.device();
  if (one_micro_batch(state)) {
    std::swap(state.part, state.total);
  } else {
    cuda::tree_totals(ctx_, wanted(state), on_device_.data(), widest_, state.part.data(),
                      state.total.discard_and_reserve(device, state.distinct()));
  }
  if (!exchange_) return;
  exchange_->exchange_gradients(state, on_device_.data());
  DeviceRequests& r = *state.requests;
  cuda::tree_totals(ctx_, owned(state), on_device_.data(), widest_, r.part.data(),
                    r.total.discard_and_reserve(device, r.received.ids()));
}

void DeviceTables::sum_of_squares(LookupState& lookup, View out) {
  DeviceLookup& state = of(lookup);
  const Arena::Scope scope(ctx_.arena());
  const int rank = exchange_ ? exchange_->rank() : 0, ranks = owners();
  const int64_t most_buckets = (virtual_buckets + ranks - 1) / ranks, mine = table_count() * most_buckets;
  View sums = ctx_.arena().alloc(DType::f64, 1, mine);
  cuda::bucket_squares(ctx_, owned(state), on_device_.data(), widest_, totals(state), state.shard_row.data(),
                       first_bucket_of(rank, ranks), most_buckets, sums.data<double>());
  if (exchange_) {
    const View all = ctx_.arena().alloc(DType::f64, 1, mine * ranks);
    exchange_->on_device().all_gather(sums, all)->wait();
    sums = all;
  }
  cuda::add_bucket_squares(ctx_, sums.data<double>(), table_count(), ranks, out.data<double>());
}

void DeviceTables::update(LookupState& lookup, const UpdateStep& step) {
  DeviceLookup& state = of(lookup);
  std::vector<int64_t> new_ids;  // at most
  for (int64_t t = 0; t < table_count(); ++t) {
    if (!exchange_) {
      new_ids.push_back(state.begin(t + 1) - state.begin(t));
      continue;
    }
    new_ids.push_back(0);
    for (int rank = 0; rank < exchange_->ranks(); ++rank)
      new_ids.back() += state.requests->received.count(rank, t);
  }
  make_room(new_ids);
  cuda::update_rows(ctx_, owned(state), on_device_.data(), widest_,
                    {totals(state), state.shard_row.data(), counts_.on_device(),
                     step.grad_scale.data<double>(), step.lr_scale, step.number});
  for (int64_t t = 0; t < table_count(); ++t) new_ids.push_back(new_ids[static_cast<size_t>(t)]);
  counts_.added(std::move(new_ids));  // of rows, then of ids
  for (DeviceRowReader& reader : readers_) reader.forget();
}

}  // namespace

std::unique_ptr<Tables> make_device_tables(const TablesOptions& options) {
  return std::make_unique<DeviceTables>(options);
}

}  // namespace lime
