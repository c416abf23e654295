#include "io/row_index.h"

#include <algorithm>
#include <bit>

#include "runtime/error.h"
#include "runtime/philox.h"

namespace lime {
namespace {

// How far ahead a slot, and then the id that it names, is asked for.
constexpr size_t slot_ahead = 32, id_ahead = 16;

}  // namespace

size_t RowIndex::home(int64_t id) const { return mix64(static_cast<uint64_t>(id)) & (slots_.size() - 1); }

RowIndex::RowIndex(std::span<const int64_t> ids) : ids_(ids) {
  LIME_CHECK(ids.size() < INT32_MAX, ids.size(), " ids");
  own_slots_.assign(std::bit_ceil(ids.size() + ids.size() / 2 + 2), -1);
  slots_ = own_slots_;
  for (size_t row = 0; row < ids.size(); ++row) {
    size_t slot = home(ids[row]);
    while (slots_[slot] >= 0) slot = (slot + 1) & (slots_.size() - 1);
    own_slots_[slot] = static_cast<int32_t>(row);
  }
}

int32_t RowIndex::find(int64_t id) const {
  if (slots_.empty()) return -1;
  for (size_t slot = home(id);; slot = (slot + 1) & (slots_.size() - 1)) {
    const int32_t row = slots_[slot];
    if (row < 0 || ids_[static_cast<size_t>(row)] == id) return row;
  }
}

void RowIndex::find(std::span<const int64_t> ids, int32_t* rows) const {
  if (slots_.empty()) return static_cast<void>(std::fill_n(rows, ids.size(), -1));
  for (size_t i = 0; i < ids.size(); ++i) {
    if (i + slot_ahead < ids.size()) __builtin_prefetch(slots_.data() + home(ids[i + slot_ahead]));
    if (i + id_ahead < ids.size()) {
      const int32_t row = slots_[home(ids[i + id_ahead])];
      if (row >= 0) __builtin_prefetch(ids_.data() + row);
    }
    rows[i] = find(ids[i]);
  }
}

}  // namespace lime
