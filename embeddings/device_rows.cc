#include "embeddings/device_rows.h"

#include <algorithm>

#include "embeddings/bucket_order.h"

namespace lime {
namespace {

constexpr int64_t block_bytes = int64_t{16} << 20;

template <typename T>
void to_device(Context& ctx, const std::vector<T>& host, void* device) {
  const size_t bytes = host.size() * sizeof(T);
  ctx.stream().to_device(host.data(), bytes, device, bytes, {1, bytes});
}
template <typename T>
void to_host(Context& ctx, const void* device, std::vector<T>& host) {
  const size_t bytes = host.size() * sizeof(T);
  ctx.stream().to_host(device, bytes, host.data(), bytes, {1, bytes});
}

// From the arena.
cuda::RowArrays row_arrays(Context& ctx, const TableOnDevice& table, int64_t n) {
  Arena& arena = ctx.arena();
  return {arena.alloc(DType::f32, n, table.dim).data<float>(),
          arena.alloc(DType::f32, n, table.state_width).data<float>(),
          static_cast<uint8_t*>(arena.alloc(DType::f32, 1, (n + 3) / 4).raw())};
}

}  // namespace

void DeviceRowReader::forget() { *this = {}; }

void DeviceRowReader::list(Context& ctx, const DeviceTable& table, const IdCounts& count) {
  const Arena::Scope scope(ctx.arena());
  const auto alloc = [&](int64_t n) { return ctx.arena().alloc(DType::i64, 1, n).data<int64_t>(); };
  auto* const on_device = alloc(count.rows);
  auto* const counter = alloc(1);
  const cuda::WaitingArrays waiting{alloc(count.waiting), alloc(count.waiting),
                                    reinterpret_cast<unsigned long long*>(counter)};
  ctx.stream().zero(counter, sizeof *counter, {1, sizeof *counter});
  cuda::list_ids(ctx, table.on_device(), on_device, waiting);
  std::vector<int64_t> by_row(static_cast<size_t>(count.rows)), ids(static_cast<size_t>(count.waiting)),
      places(ids.size());
  to_host(ctx, on_device, by_row);
  to_host(ctx, waiting.ids, ids);
  to_host(ctx, waiting.places, places);
  ctx.synchronize();
  BucketOrder order;
  order.sort(by_row);
  bucket_begin_.assign(static_cast<size_t>(virtual_buckets) + 1, 0);
  order.for_each([&](int32_t bucket, int32_t row) {
    ids_.push_back(by_row[static_cast<size_t>(row)]);
    rows_.push_back(row);
    ++bucket_begin_[static_cast<size_t>(bucket) + 1];
  });
  waiting_begin_.assign(static_cast<size_t>(virtual_buckets) + 1, 0);
  order.sort(ids);
  order.for_each([&](int32_t bucket, int32_t i) {
    waiting_.push_back({ids[static_cast<size_t>(i)], places[static_cast<size_t>(i)]});
    ++waiting_begin_[static_cast<size_t>(bucket) + 1];
  });
  for (auto* begin : {&bucket_begin_, &waiting_begin_})
    for (size_t b = 1; b < begin->size(); ++b) (*begin)[b] += (*begin)[b - 1];
  listed_ = true;
}

void DeviceRowReader::read_block(Context& ctx, const DeviceTable& table, int64_t first_bucket) {
  const TableOnDevice& t = table.on_device();
  const int64_t most =
      std::max<int64_t>(1, block_bytes / ((t.dim + t.state_width) * static_cast<int64_t>(sizeof(float))));
  first_ = last_ = first_bucket;
  do ++last_;
  while (last_ < virtual_buckets && static_cast<int64_t>(begin_of(last_ + 1) - begin_of(first_)) <= most);
  const auto n = static_cast<int64_t>(begin_of(last_) - begin_of(first_));
  values_.resize(static_cast<size_t>(n * t.dim));
  state_.resize(static_cast<size_t>(n * t.state_width));
  idle_.resize(static_cast<size_t>(n));
  const Arena::Scope scope(ctx.arena());
  auto* const rows = ctx.arena().alloc(DType::i64, 1, n).data<int64_t>();
  const cuda::RowArrays arrays = row_arrays(ctx, t, n);
  const size_t bytes = static_cast<size_t>(n) * sizeof(int64_t);
  ctx.stream().to_device(rows_.data() + begin_of(first_), bytes, rows, bytes, {1, bytes});
  cuda::export_rows(ctx, t, rows, n, arrays);
  to_host(ctx, arrays.values, values_);
  to_host(ctx, arrays.state, state_);
  to_host(ctx, arrays.idle, idle_);
  ctx.synchronize();
}

TableRows DeviceRowReader::bucket(Context& ctx, const DeviceTable& table, const IdCounts& count,
                                  int64_t bucket) {
  if (!listed_) list(ctx, table, count);
  TableRows rows;
  WaitingIds& waiting = rows.waiting;
  for (size_t i = waiting_begin_[static_cast<size_t>(bucket)];
       i < waiting_begin_[static_cast<size_t>(bucket) + 1]; ++i) {
    waiting.ids.push_back(waiting_[i].id);
    waiting.steps.push_back(static_cast<uint8_t>(steps_of(waiting_[i].place)));
    waiting.idle.push_back(static_cast<uint8_t>(idle_runs_of(waiting_[i].place)));
  }
  if (begin_of(bucket) == begin_of(bucket + 1)) return rows;
  if (bucket < first_ || bucket >= last_) read_block(ctx, table, bucket);
  const size_t n = begin_of(bucket + 1) - begin_of(bucket), from = begin_of(bucket) - begin_of(first_);
  const auto part = [n](const auto& of, size_t begin, int64_t width) {
    const auto w = static_cast<size_t>(width);
    const auto at = of.begin() + static_cast<std::ptrdiff_t>(begin * w);
    return std::remove_cvref_t<decltype(of)>(at, at + static_cast<std::ptrdiff_t>(n * w));
  };
  const TableOnDevice& t = table.on_device();
  rows.ids = part(ids_, begin_of(bucket), 1);
  rows.values = part(values_, from, t.dim);
  rows.state = part(state_, from, t.state_width);
  rows.idle = part(idle_, from, 1);
  return rows;
}

IdCounts load_rows(Context& ctx, DeviceTable& table, const IdCounts& count, const TableRows& rows) {
  const bool waits = table.config().admit_after > 1;
  const IdCounts more{static_cast<int64_t>(rows.ids.size()),
                      waits ? static_cast<int64_t>(rows.waiting.ids.size()) : 0};
  if (more.all() == 0) return more;
  table.reserve(count.rows + more.rows, count.all() + more.all());
  const Arena::Scope scope(ctx.arena());
  const TableOnDevice& t = table.on_device();
  const auto alloc = [&](int64_t n) { return ctx.arena().alloc(DType::i64, 1, n).data<int64_t>(); };
  auto* const twice = alloc(1);
  int64_t found = -1;
  ctx.stream().to_device(&found, sizeof found, twice, sizeof found, {1, sizeof found});
  const std::vector<uint8_t> none(rows.idle.empty() ? rows.ids.size() : 0);
  if (more.rows > 0) {
    auto* const ids = alloc(more.rows);
    const cuda::RowArrays arrays = row_arrays(ctx, t, more.rows);
    to_device(ctx, rows.ids, ids);
    to_device(ctx, rows.values, arrays.values);
    to_device(ctx, rows.state, arrays.state);
    to_device(ctx, rows.idle.empty() ? none : rows.idle, arrays.idle);
    cuda::import_rows(ctx, t, ids, more.rows, count.rows, arrays, twice);
  }
  std::vector<int64_t> places;
  if (more.waiting > 0) {
    for (size_t i = 0; i < rows.waiting.ids.size(); ++i)
      places.push_back(waiting_place(rows.waiting.steps[i], rows.waiting.idle[i]));
    auto *const ids = alloc(more.waiting), *const on_device = alloc(more.waiting);
    to_device(ctx, rows.waiting.ids, ids);
    to_device(ctx, places, on_device);
    cuda::import_waiting(ctx, t, ids, on_device, more.waiting, twice);
  }
  ctx.stream().to_host(twice, sizeof found, &found, sizeof found, {1, sizeof found});
  ctx.synchronize();
  LIME_CHECK(found < 0, "table ", table.config().name, ": id ", found, " is inserted twice");
  return more;
}

}  // namespace lime
