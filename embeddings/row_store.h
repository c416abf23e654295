// RowStore: rows of floats in chunks, so that a table of gigabytes grows without being copied. Internal to
// embeddings/.
#pragma once

#include <cstdint>
#include <vector>

#include "embeddings/buffer.h"

namespace lime {

class RowStore {
 public:
  // `width` floats a row; 0 is legal and holds nothing.
  explicit RowStore(int64_t width);

  // Valid until the next append.
  float* row(int64_t r) { return chunks_[static_cast<size_t>(r >> shift_)].data() + (r & mask_) * width_; }
  const float* row(int64_t r) const {
    return chunks_[static_cast<size_t>(r >> shift_)].data() + (r & mask_) * width_;
  }
  // Appends an uninitialised row.
  float* append();
  void prefetch(int64_t r) const {
    const char* begin = reinterpret_cast<const char*>(row(r));
    for (int64_t at = 0; at < width_ * 4; at += 64) __builtin_prefetch(begin + at);
  }

  int64_t width() const { return width_; }
  int64_t rows() const { return rows_; }
  int64_t bytes() const;

 private:
  int64_t width_, rows_ = 0;
  int shift_;  // log2 of a full chunk's rows
  int64_t mask_;
  // The first grows to its full size by doubling: small tables stay small.
  std::vector<Buffer<float>> chunks_;
};

}  // namespace lime
