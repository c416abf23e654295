#include "embeddings/device_table.h"

#include <algorithm>
#include <bit>

#include "embeddings/sparse_optimizer.h"
#include "runtime/device_memory.h"
#include "runtime/philox.h"

namespace lime {
namespace {

constexpr int64_t full_chunk_bytes = int64_t{64} << 20, first_chunk_rows = 256;
constexpr int64_t most_chunks = 1 << 14;  // a terabyte
constexpr int64_t fewest_entries = 512;

int log2_of(int64_t n) { return std::bit_width(static_cast<uint64_t>(n)) - 1; }
int64_t whole_packs(int64_t floats) { return (floats + 3) / 4 * 4; }

}  // namespace

DeviceTable::DeviceTable(Context& ctx, const TableConfig& config, uint64_t seed)
    : ctx_(ctx), config_(config) {
  TableOnDevice& t = on_device_;
  t.type = config.type;
  t.dim = config.dim;
  t.pitch = whole_packs(config.dim);
  t.message_width = whole_packs(value_bytes() / static_cast<int64_t>(sizeof(float)));
  t.state_width = state_width_of(config.optimizer, config.dim);
  if (const int64_t last = t.state_width - 1; last >= 0) {
    t.state_pitch = last / t.dim * t.pitch + last % t.dim + 1;
    if (config.optimizer != SparseOptimizer::rowwise_adagrad) t.state_pitch = whole_packs(t.state_pitch);
  }
  t.admit_after = config.admit_after;
  t.first_shift = log2_of(first_chunk_rows);
  t.full_shift = std::max(log2_of(full_chunk_bytes / value_bytes() + 1), t.first_shift);
  t.seed = seed;
  t.stream_prefix = stream_prefix("embedding", stream_of(config.name));
  t.rounding_prefix = rounding_prefix(config.name);
  t.deviation = static_cast<float>(config.init_std);
  t.optimizer = config.optimizer;
  t.eps = static_cast<float>(config.eps);
  const bool adagrad =
      config.optimizer == SparseOptimizer::adagrad || config.optimizer == SparseOptimizer::rowwise_adagrad;
  t.initial_state = adagrad ? static_cast<float>(config.initial_accumulator) : 0.0f;
  t.learning_rate = config.learning_rate;
  t.beta1 = config.beta1, t.beta2 = config.beta2;
  t.values = value_chunks_.discard_and_reserve(ctx.device(), most_chunks);
  t.state = state_chunks_.discard_and_reserve(ctx.device(), most_chunks);
  t.idle = idle_chunks_.discard_and_reserve(ctx.device(), most_chunks);
  grow_entries(0);
}

// At most six tenths full: probes stay short.
void DeviceTable::grow_entries(int64_t ids) {
  const auto now = static_cast<int64_t>(on_device_.mask) + 1;
  if (entries_ && 10 * ids <= 6 * now) return;
  const auto capacity =
      static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(std::max(fewest_entries, ids / 6 * 10 + 10))));
  const size_t bytes = static_cast<size_t>(capacity) * sizeof(DeviceIdEntry);
  std::shared_ptr<void> grown = allocate_memory(ctx_.device(), bytes);
  auto* entries = static_cast<DeviceIdEntry*>(grown.get());
  ctx_.stream().zero(entries, bytes, {1, bytes});
  if (entries_) cuda::rehash(ctx_, on_device_.entries, now, entries, static_cast<uint64_t>(capacity) - 1);
  on_device_.entries = entries;
  on_device_.mask = static_cast<uint64_t>(capacity) - 1;
  entries_ = std::move(grown);
}

void DeviceTable::add_chunk() {
  const int64_t full = int64_t{1} << on_device_.full_shift;
  const int64_t rows = std::min(std::max(first_chunk_rows, room_), full);
  LIME_CHECK(static_cast<int64_t>(values_.size()) < most_chunks, "table ", config_.name, ": more than ",
             most_chunks, " chunks of rows");
  const auto chunk_of = [&](size_t row_bytes) {
    return row_bytes > 0 ? allocate_memory(ctx_.device(), static_cast<size_t>(rows) * row_bytes) : nullptr;
  };
  const auto add = [&](std::vector<std::shared_ptr<void>>& chunks, auto** on_device,
                       std::shared_ptr<void> memory) {
    void* const chunk = memory.get();
    chunks.push_back(std::move(memory));
    ctx_.stream().to_device(&chunk, sizeof chunk, on_device + chunks.size() - 1, sizeof chunk,
                            {1, sizeof chunk});
  };
  // All of them or none.
  auto values = chunk_of(static_cast<size_t>(value_bytes()));
  auto state = chunk_of(static_cast<size_t>(on_device_.state_pitch) * sizeof(float));
  auto idle = chunk_of(sizeof(uint8_t));
  add(values_, value_chunks_.data(), std::move(values));
  add(state_, state_chunks_.data(), std::move(state));
  add(idle_, idle_chunks_.data(), std::move(idle));
  room_ += rows;
}

void DeviceTable::reserve(int64_t rows, int64_t ids) {
  try {
    while (room_ < rows) add_chunk();
    grow_entries(ids);
  } catch (const Error& e) {
    const cuda::DeviceMemory memory = cuda::device_memory(ctx_.device().index);
    const int64_t wanted = rows * row_bytes();
    throw UserError(
        str("embedding table '", config_.name, "': no memory on ", to_string(ctx_.device()), " for ", rows,
            " rows, ", wanted, " bytes and ", ids, " ids: it holds ", bytes(), " bytes, and ", memory.free,
            " of ", memory.total, " are free (", e.what(),
            "); use more ranks, a smaller dim, a capacity, admit_after, or embeddings.memory: host"));
  }
}

int64_t DeviceTable::bytes() const {
  return static_cast<int64_t>((on_device_.mask + 1) * sizeof(DeviceIdEntry)) + room_ * row_bytes();
}

int64_t DeviceTable::value_bytes() const {
  return on_device_.pitch * static_cast<int64_t>(size_of(on_device_.type));
}

int64_t DeviceTable::row_bytes() const {
  return value_bytes() + on_device_.state_pitch * static_cast<int64_t>(sizeof(float)) + 1;
}

}  // namespace lime
