// RowStore: rows of bytes in chunks, so that a table of gigabytes grows without being copied. Internal to
// embeddings/.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "embeddings/buffer.h"

namespace lime {

class RowStore {
 public:
  // Bytes of a row, a multiple of its elements'; 0 is legal and holds nothing.
  explicit RowStore(int64_t row_bytes);

  // Valid until the next append.
  void* row(int64_t r) { return chunks_[static_cast<size_t>(r >> shift_)].data() + (r & mask_) * row_bytes_; }
  const void* row(int64_t r) const {
    return chunks_[static_cast<size_t>(r >> shift_)].data() + (r & mask_) * row_bytes_;
  }
  // Appends an uninitialised row.
  void* append();
  void prefetch(int64_t r) const {
    const auto* begin = static_cast<const std::byte*>(row(r));
    for (int64_t at = 0; at < row_bytes_; at += 64) __builtin_prefetch(begin + at);
  }

  int64_t row_bytes() const { return row_bytes_; }
  int64_t rows() const { return rows_; }
  int64_t bytes() const;

 private:
  int64_t row_bytes_, rows_ = 0;
  int shift_;  // log2 of a full chunk's rows
  int64_t mask_;
  // The first grows to its full size by doubling: small tables stay small.
  std::vector<Buffer<std::byte>> chunks_;
};

}  // namespace lime
