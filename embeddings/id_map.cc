#include "embeddings/id_map.h"

#include <algorithm>
#include <utility>

#include "runtime/error.h"

namespace lime {

void IdMap::resize(uint64_t capacity) {
  const Buffer<Entry> old = std::exchange(entries_, {});
  std::fill_n(entries_.discard_and_reserve(static_cast<int64_t>(capacity)), capacity, Entry{empty, absent});
  mask_ = capacity - 1;
  for (int64_t i = 0; i < old.capacity(); ++i) {
    if (old[i].id != empty) put(old[i].id, old[i].place);
  }
}

void IdMap::put(int64_t id, int64_t place) {
  uint64_t i = home(id);
  for (; entries_[static_cast<int64_t>(i)].id != empty; i = (i + 1) & mask_) {
    LIME_CHECK(entries_[static_cast<int64_t>(i)].id != id, "id ", id, " is inserted twice");
  }
  entries_[static_cast<int64_t>(i)] = {id, place};
}

void IdMap::insert(int64_t id, int64_t place) {
  LIME_CHECK(id >= 0, "id ", id, " has no place");
  // At most seven tenths full: probes stay within a cache line or two.
  if (10 * (static_cast<uint64_t>(size_) + 1) > 7 * (mask_ + 1)) resize(2 * (mask_ + 1));
  put(id, place);
  ++size_;
}

void IdMap::replace(int64_t id, int64_t place) {
  uint64_t i = home(id);
  for (; entries_[static_cast<int64_t>(i)].id != id; i = (i + 1) & mask_)
    LIME_CHECK(entries_[static_cast<int64_t>(i)].id != empty, "id ", id, " is not there");
  entries_[static_cast<int64_t>(i)].place = place;
}

}  // namespace lime
