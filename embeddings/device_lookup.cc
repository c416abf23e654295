#include "embeddings/device_lookup.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace lime {
namespace {

constexpr int64_t range_words = sizeof(IdRange) / sizeof(int64_t);
static_assert(sizeof(IdRange) == range_words * sizeof(int64_t));

}  // namespace

DeviceLookup::DeviceLookup(Context& compute, std::shared_ptr<IdQueue> queue)
    : compute_(compute),
      queue_(std::move(queue)),
      counted_(compute.device().index),
      released_(compute.device().index) {}

void DeviceLookup::release() {
  if (requests) requests->work.reset();
  try {
    if (counts_) queue_->staging.give_back(std::move(counts_), queue_->ctx.stream());
    released_.record(compute_.stream());
  } catch (const Error&) {  // the device failed; whoever used it has been told
  }
}

// ids | offsets of lists | ranges
std::unique_ptr<HostStaging::Block> DeviceLookup::fill_input(const TablesOnDevice& tables,
                                                             IdOccurrences& ids) {
  int64_t count = 0, offsets = 0, range_count = 0;
  for (const auto& micro_batch : features)
    for (const FeatureIds& f : micro_batch) {
      count += static_cast<int64_t>(f.ids.size());
      offsets += static_cast<int64_t>(f.offsets.size());
      ++range_count;
    }
  const int64_t words = count + offsets + (range_count + 1) * range_words;
  auto block = queue_->staging.take(static_cast<size_t>(words) * sizeof(int64_t));
  int64_t* const host = block->memory.as<int64_t>().data();
  int64_t* const device = input.discard_and_reserve(compute_.device(), words);

  first_range.clear();
  ranges.clear();
  auto* host_range = reinterpret_cast<IdRange*>(host + count + offsets);
  int64_t id = 0, offset = count;
  uint64_t any = 0;
  for (size_t m = 0; m < features.size(); ++m) {
    first_range.push_back(static_cast<int64_t>(ranges.size()));
    for (const FeatureIds& f : features[m]) {
      ranges.push_back({rows_of(f), static_cast<int64_t>(f.ids.size()),
                        f.offsets.empty() ? nullptr : device + offset, f.pooling == Pooling::mean, id});
      *host_range++ = {id, static_cast<int32_t>(f.table), static_cast<int32_t>(m)};
      uint64_t bits = 0;
      for (const int64_t x : f.ids) {
        host[id++] = x;
        bits |= static_cast<uint64_t>(x & ~(x >> 63));  // not of missing ones
      }
      const int64_t capacity = tables.configs[static_cast<size_t>(f.table)].capacity;
      any |= capacity > 0
                 ? std::min(bits, static_cast<uint64_t>(std::bit_ceil(static_cast<uint64_t>(capacity)) - 1))
                 : bits;
      std::copy(f.offsets.begin(), f.offsets.end(), host + offset);
      offset += static_cast<int64_t>(f.offsets.size());
    }
  }
  *host_range = {id, 0, 0};
  ids = {.ids = device,
         .count = count,
         .ranges = reinterpret_cast<const IdRange*>(device + count + offsets),
         .range_count = range_count,
         .capacities = tables.capacities,
         .tables = static_cast<int64_t>(tables.configs.size()),
         .id_bits = static_cast<int>(std::bit_width(any)),
         .owners = tables.owners,
         .by_id = insert};
  return block;
}

void DeviceLookup::find_ids(const TablesOnDevice& tables) {
  cuda::Stream& stream = queue_->ctx.stream();
  queue_->ctx.arena().reset();
  stream.wait(released_);  // by the step that had this memory before
  IdOccurrences ids{};
  auto block = fill_input(tables, ids);
  const auto* const end = reinterpret_cast<const int64_t*>(ids.ranges + ids.range_count + 1);
  const size_t bytes = static_cast<size_t>(end - input.data()) * sizeof(int64_t);
  stream.to_device(block->memory.data(), bytes, input.data(), bytes, {1, bytes});
  queue_->staging.give_back(std::move(block), stream);
  cuda::find_distinct(queue_->ctx, ids, wanted);
  id_bits_ = ids.id_bits;

  begins.assign(static_cast<size_t>(2 * (ids.tables * ids.owners + 1)), 0);
  const size_t begin_bytes = begins.size() * sizeof(int64_t);
  counts_ = queue_->staging.take(begin_bytes);
  stream.to_host(wanted.begins.data(), begin_bytes, counts_->memory.data(), begin_bytes, {1, begin_bytes});
  counted_.record(stream);
}

void DeviceLookup::wait_for_ids() {
  if (!counts_) return;
  counted_.synchronize();
  std::copy_n(counts_->memory.as<int64_t>().data(), begins.size(), begins.begin());
  queue_->staging.give_back(std::move(counts_), queue_->ctx.stream());
  compute_.stream().wait(counted_);
}

}  // namespace lime
