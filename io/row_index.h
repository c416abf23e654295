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
  // Borrows the slots, too, which another index of these ids has.
  RowIndex(std::span<const int64_t> ids, std::span<const int32_t> slots) : ids_(ids), slots_(slots) {}
  RowIndex(RowIndex&&) noexcept = default;
  RowIndex& operator=(RowIndex&&) noexcept = default;

  int32_t find(int64_t id) const;  // -1: not there
  // rows[i] = find(ids[i]), the memory of those to come on its way meanwhile.
  void find(std::span<const int64_t> ids, int32_t* rows) const;
  std::span<const int32_t> slots() const { return slots_; }
  int64_t bytes() const { return static_cast<int64_t>(slots_.size() * sizeof(int32_t)); }

 private:
  size_t home(int64_t id) const;

  std::span<const int64_t> ids_;
  std::span<const int32_t> slots_;  // open addressing, a power of two; -1: free
  std::vector<int32_t> own_slots_;  // what slots_ are, unless borrowed
};

}  // namespace lime
