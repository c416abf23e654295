#include "embeddings/device_tables.h"

#include <algorithm>

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
        counts_(options.ctx, table_count()),
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
  }

  std::unique_ptr<LookupState> make_lookup() override { return std::make_unique<DeviceLookup>(ctx_, queue_); }

  void begin(LookupState& lookup) override { of(lookup).find_ids({capacities_.data(), configs_, 1}); }
  void advance(LookupState&) override {}
  void finish(LookupState&) override;

  void gather(const LookupState& lookup, int64_t micro_batch, int64_t feature, View out) override {
    const auto& state = static_cast<const DeviceLookup&>(lookup);
    const auto table = static_cast<size_t>(state.feature(micro_batch, feature).table);
    cuda::gather_rows(ctx_, state.on_device(micro_batch, feature), state.wanted, tables_[table]->on_device(),
                      state.address.data(), out);
  }

  void add_gradient(LookupState& lookup, int64_t micro_batch, int64_t feature,
                    const ConstView& dout) override {
    DeviceLookup& state = of(lookup);
    const int64_t t = state.feature(micro_batch, feature).table;
    const TableOnDevice& table = tables_[static_cast<size_t>(t)]->on_device();
    const cuda::SlotGradients out{state.gradients.data() + state.first_gradient[static_cast<size_t>(t)],
                                  state.slot_begin(t), table.dim, table.pitch, state.present.data()};
    cuda::add_gradients(ctx_, state.on_device(micro_batch, feature), state.wanted, out, dout);
  }

  void reduce(LookupState&) override;
  void sum_of_squares(LookupState&, View out) override;
  void update(LookupState&, const ConstView& grad_scale, double lr_scale) override;

  void read(const FeatureIds&, View) const override { refuse_to_serve(); }
  std::optional<int64_t> not_finite(int64_t) const override { refuse_to_serve(); }

  int64_t rows(int64_t table) const override { return counts_.exact()[static_cast<size_t>(table)]; }
  int64_t bytes() const override {
    int64_t bytes = 0;
    for (const auto& table : tables_) bytes += table->bytes();
    return bytes;
  }
  TableRows bucket_rows(int64_t table, int64_t bucket) const override {
    const auto t = static_cast<size_t>(table);
    const int64_t count = rows(table);
    return count == 0 ? TableRows{} : readers_[t].bucket(ctx_, *tables_[t], count, bucket);
  }
  void load_rows(int64_t table, const TableRows& rows) override {
    if (rows.ids.empty()) return;
    const auto t = static_cast<size_t>(table);
    readers_[t].forget();
    lime::load_rows(ctx_, *tables_[t], counts_.exact()[t], rows);
    counts_.add(table, static_cast<int64_t>(rows.ids.size()));
    describe();
  }

 private:
  static DeviceLookup& of(LookupState& lookup) { return static_cast<DeviceLookup&>(lookup); }
  int64_t table_count() const { return static_cast<int64_t>(configs_.size()); }
  [[noreturn]] void refuse_to_serve() const {
    throw Error(
        str("tables on ", to_string(ctx_.device()), " are read by lookups alone; serve with device: cpu"));
  }
  DistinctView owned(const DeviceLookup& state) const {
    return view_of(state.wanted, table_count(), 1, state.distinct());
  }
  void make_room(std::span<const int64_t> new_rows);
  void describe();

  Context& ctx_;
  std::vector<TableConfig> configs_;
  std::shared_ptr<IdQueue> queue_;
  std::vector<std::unique_ptr<DeviceTable>> tables_;
  DeviceBuffer<int64_t> capacities_;
  std::vector<TableOnDevice> described_;  // as the kernels see them
  DeviceBuffer<TableOnDevice> on_device_;
  int64_t widest_ = 1;  // floats of a row
  mutable RowCounts counts_;
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

// Room for so many more rows of each table. What the host knows of the tables' rows may be more than there
// are: it asks the device only where there would not be memory enough.
void DeviceTables::make_room(std::span<const int64_t> new_rows) {
  const std::vector<int64_t> at_most = counts_.at_most();
  for (size_t t = 0; t < tables_.size(); ++t) {
    const int64_t capacity = configs_[t].capacity;
    const auto bounded = [&](int64_t rows) { return capacity > 0 ? std::min(rows, capacity) : rows; };
    try {
      tables_[t]->reserve(bounded(at_most[t] + new_rows[t]));
    } catch (const UserError&) {
      tables_[t]->reserve(bounded(counts_.exact()[t] + new_rows[t]));
    }
  }
  describe();
}

void DeviceTables::finish(LookupState& lookup) {
  DeviceLookup& state = of(lookup);
  const Device device = ctx_.device();
  state.wait_for_ids();
  const int64_t distinct = state.distinct();
  cuda::find_rows(ctx_, owned(state), on_device_.data(),
                  state.shard_row.discard_and_reserve(device, distinct),
                  state.address.discard_and_reserve(device, distinct));
  if (!state.insert) return;
  state.first_gradient.clear();
  int64_t floats = 0;
  for (int64_t t = 0; t < table_count(); ++t) {
    state.first_gradient.push_back(floats);
    floats +=
        (state.slot_begin(t + 1) - state.slot_begin(t)) * tables_[static_cast<size_t>(t)]->on_device().pitch;
  }
  state.gradients.discard_and_reserve(device, floats);
  const auto slots = static_cast<size_t>(state.slots());
  ctx_.stream().zero(state.present.discard_and_reserve(device, state.slots()), slots, {1, slots});
}

void DeviceTables::reduce(LookupState& lookup) {
  DeviceLookup& state = of(lookup);
  const Device device = ctx_.device();
  float** part = state.part.discard_and_reserve(device, state.slots());
  float** total = state.total.discard_and_reserve(device, state.distinct());
  cuda::slot_parts(ctx_, owned(state), on_device_.data(), state.gradients.data(), state.present.data(), part);
  cuda::tree_totals(ctx_, owned(state), on_device_.data(), widest_, part, total);
}

void DeviceTables::sum_of_squares(LookupState& lookup, View out) {
  DeviceLookup& state = of(lookup);
  const Arena::Scope scope(ctx_.arena());
  auto* const sums = ctx_.arena().alloc(DType::f64, table_count(), virtual_buckets).data<double>();
  cuda::bucket_squares(ctx_, owned(state), on_device_.data(), widest_, state.total.data(), 0, virtual_buckets,
                       sums);
  cuda::add_bucket_squares(ctx_, sums, table_count(), 1, out.data<double>());
}

void DeviceTables::update(LookupState& lookup, const ConstView& grad_scale, double lr_scale) {
  DeviceLookup& state = of(lookup);
  std::vector<int64_t> new_rows;
  for (int64_t t = 0; t < table_count(); ++t) new_rows.push_back(state.begin(t + 1) - state.begin(t));
  make_room(new_rows);
  cuda::update_rows(
      ctx_, owned(state), on_device_.data(), widest_,
      {state.total.data(), state.shard_row.data(), counts_.on_device(), grad_scale.data<double>(), lr_scale});
  counts_.added(std::move(new_rows));
  for (DeviceRowReader& reader : readers_) reader.forget();
}

}  // namespace

std::unique_ptr<Tables> make_device_tables(const TablesOptions& options) {
  return std::make_unique<DeviceTables>(options);
}

}  // namespace lime
