// RowIndex: id -> row, of a column of distinct ids that it borrows.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace lime {

class RowIndex {
 public:
  RowIndex() = default;
  // Fewer than 2^31 ids, each once.
  explicit RowIndex(std::span<const int64_t> ids);

  int32_t find(int64_t id) const;  // -1: not there
  // rows[i] = find(ids[i]), the memory of those to come on its way meanwhile.
  void find(std::span<const int64_t> ids, int32_t* rows) const;
  int64_t bytes() const { return static_cast<int64_t>(slots_.capacity() * sizeof(int32_t)); }

 private:
  size_t home(int64_t id) const;

  std::span<const int64_t> ids_;
  std::vector<int32_t> slots_;  // open addressing, a power of two; -1: free
};

}  // namespace lime
