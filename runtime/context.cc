#include "runtime/context.h"

#include <algorithm>
#include <cstring>

namespace lime {

namespace {
// Half of the 2 MiB that a core of a current server has as second-level cache. A constant, not the
// machine's own figure: tiles decide the order of sums, and results must not depend on the machine's cache.
constexpr int64_t tile_bytes = 1024 * 1024;
constexpr int64_t tile_multiple = 16, fewest_tile_rows = 32;
}  // namespace

Context::Context(Device device, DType compute) : device_(device), dtype_(compute), arena_(device) {
  LIME_CHECK(compute != DType::i64, "compute type ", to_string(compute));
  if (compute == DType::bf16 && device.type == DeviceType::cpu)
    throw UserError("device cpu does not compute with bf16; use device: cuda, or f32");
  if (device.type == DeviceType::cuda) stream_ = std::make_unique<cuda::Stream>(device.index);
}

View Context::zeros(int64_t rows, int64_t cols) {
  View view = alloc(rows, cols);
  const size_t bytes = view.bytes();
  stream_ ? stream_->zero(view.raw(), bytes, {1, bytes})
          : static_cast<void>(std::memset(view.raw(), 0, bytes));
  return view;
}

cuda::Stream& Context::stream() const {
  LIME_CHECK(stream_, "device ", to_string(device_), " has no stream");
  return *stream_;
}

void Context::synchronize() {
  if (stream_) stream_->synchronize();
}

int64_t Context::tile_rows(int64_t cols) const {
  LIME_CHECK(cols >= 0, "cols is ", cols);
  if (device_.type == DeviceType::cuda) return int64_t{1} << 40;  // all of them
  const int64_t row_bytes = std::max<int64_t>(cols, 1) * static_cast<int64_t>(size_of(dtype_));
  return std::max(tile_bytes / row_bytes / tile_multiple * tile_multiple, fewest_tile_rows);
}

}  // namespace lime
