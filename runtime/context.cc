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
  LIME_CHECK(compute == DType::f32 || compute == DType::f64, "compute type ", to_string(compute));
}

View Context::zeros(int64_t rows, int64_t cols) {
  View view = alloc(rows, cols);
  std::memset(view.raw(), 0, static_cast<size_t>(view.size()) * size_of(dtype_));
  return view;
}

int64_t Context::tile_rows(int64_t cols) const {
  LIME_CHECK(cols >= 0, "cols is ", cols);
  const int64_t row_bytes = std::max<int64_t>(cols, 1) * static_cast<int64_t>(size_of(dtype_));
  return std::max(tile_bytes / row_bytes / tile_multiple * tile_multiple, fewest_tile_rows);
}

}  // namespace lime
