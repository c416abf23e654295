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

void DeviceRowReader::list(Context& ctx, const DeviceTable& table, int64_t rows) {
  const Arena::Scope scope(ctx.arena());
  auto* const on_device = ctx.arena().alloc(DType::i64, 1, rows).data<int64_t>();
  cuda::list_ids(ctx, table.on_device(), on_device);
  std::vector<int64_t> by_row(static_cast<size_t>(rows));
  to_host(ctx, on_device, by_row);
  ctx.synchronize();
  BucketOrder order;
  order.sort(by_row);
  bucket_begin_.assign(static_cast<size_t>(virtual_buckets) + 1, 0);
  order.for_each([&](int32_t bucket, int32_t row) {
    ids_.push_back(by_row[static_cast<size_t>(row)]);
    rows_.push_back(row);
    ++bucket_begin_[static_cast<size_t>(bucket) + 1];
  });
  for (size_t b = 1; b < bucket_begin_.size(); ++b) bucket_begin_[b] += bucket_begin_[b - 1];
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

TableRows DeviceRowReader::bucket(Context& ctx, const DeviceTable& table, int64_t rows, int64_t bucket) {
  if (!listed_) list(ctx, table, rows);
  if (begin_of(bucket) == begin_of(bucket + 1)) return {};
  if (bucket < first_ || bucket >= last_) read_block(ctx, table, bucket);
  const size_t n = begin_of(bucket + 1) - begin_of(bucket), from = begin_of(bucket) - begin_of(first_);
  const auto part = [n](const auto& of, size_t begin, int64_t width) {
    const auto w = static_cast<size_t>(width);
    const auto at = of.begin() + static_cast<std::ptrdiff_t>(begin * w);
    return std::remove_cvref_t<decltype(of)>(at, at + static_cast<std::ptrdiff_t>(n * w));
  };
  const TableOnDevice& t = table.on_device();
  return {part(ids_, begin_of(bucket), 1), part(values_, from, t.dim), part(state_, from, t.state_width),
          part(idle_, from, 1)};
}

void load_rows(Context& ctx, DeviceTable& table, int64_t first_row, const TableRows& rows) {
  const auto n = static_cast<int64_t>(rows.ids.size());
  table.reserve(first_row + n);
  const Arena::Scope scope(ctx.arena());
  const TableOnDevice& t = table.on_device();
  auto* const ids = ctx.arena().alloc(DType::i64, 1, n).data<int64_t>();
  auto* const twice = ctx.arena().alloc(DType::i64, 1, 1).data<int64_t>();
  const cuda::RowArrays arrays = row_arrays(ctx, t, n);
  const std::vector<uint8_t> none(rows.idle.empty() ? rows.ids.size() : 0);
  int64_t found = -1;
  ctx.stream().to_device(&found, sizeof found, twice, sizeof found, {1, sizeof found});
  to_device(ctx, rows.ids, ids);
  to_device(ctx, rows.values, arrays.values);
  to_device(ctx, rows.state, arrays.state);
  to_device(ctx, rows.idle.empty() ? none : rows.idle, arrays.idle);
  cuda::import_rows(ctx, t, ids, n, first_row, arrays, twice);
  ctx.stream().to_host(twice, sizeof found, &found, sizeof found, {1, sizeof found});
  ctx.synchronize();
  LIME_CHECK(found < 0, "table ", table.config().name, ": id ", found, " is inserted twice");
}

}  // namespace lime
