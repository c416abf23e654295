#include "embeddings/row_store.h"

#include <bit>

namespace lime {

namespace {
constexpr int64_t chunk_floats = int64_t{1} << 20;  // 4 MiB: two huge pages
constexpr int64_t smallest_rows = 16;
}  // namespace

RowStore::RowStore(int64_t width)
    : width_(width),
      shift_(std::bit_width(
                 static_cast<uint64_t>(std::max(chunk_floats / std::max<int64_t>(width, 1), smallest_rows))) -
             1),
      mask_((int64_t{1} << shift_) - 1) {}

float* RowStore::append() {
  const int64_t r = rows_++;
  const size_t chunk = static_cast<size_t>(r >> shift_);
  if (chunk == chunks_.size()) chunks_.emplace_back();
  const int64_t within = r & mask_, full = mask_ + 1;
  if (Buffer<float>& memory = chunks_[chunk]; memory.capacity() < (within + 1) * width_) {
    const int64_t rows = chunk > 0 ? full : std::min(full, std::max(smallest_rows, 2 * within));
    memory.reserve(rows * width_, within * width_);
  }
  return row(r);
}

int64_t RowStore::bytes() const {
  int64_t bytes = 0;
  for (const Buffer<float>& chunk : chunks_) bytes += chunk.bytes();
  return bytes;
}

}  // namespace lime
