#include "embeddings/row_store.h"

#include <bit>

namespace lime {

namespace {
constexpr int64_t chunk_bytes = int64_t{4} << 20;  // two huge pages
constexpr int64_t smallest_rows = 16;
}  // namespace

RowStore::RowStore(int64_t row_bytes)
    : row_bytes_(row_bytes),
      shift_(std::bit_width(static_cast<uint64_t>(
                 std::max(chunk_bytes / std::max<int64_t>(row_bytes, 1), smallest_rows))) -
             1),
      mask_((int64_t{1} << shift_) - 1) {}

void* RowStore::append() {
  const int64_t r = rows_++;
  const size_t chunk = static_cast<size_t>(r >> shift_);
  if (chunk == chunks_.size()) chunks_.emplace_back();
  const int64_t within = r & mask_, full = mask_ + 1;
  if (Buffer<std::byte>& memory = chunks_[chunk]; memory.capacity() < (within + 1) * row_bytes_) {
    const int64_t rows = chunk > 0 ? full : std::min(full, std::max(smallest_rows, 2 * within));
    memory.reserve(rows * row_bytes_, within * row_bytes_);
  }
  return row(r);
}

int64_t RowStore::bytes() const {
  int64_t bytes = 0;
  for (const Buffer<std::byte>& chunk : chunks_) bytes += chunk.bytes();
  return bytes;
}

}  // namespace lime
