// IdMap: id -> place (id_place.h), exactly. One open-addressing table that grows by doubling. Internal to
// embeddings/.
//
// An id's place is the bottom of its hash. The virtual bucket is the top: a shard's ids, which share a range
// of buckets, spread over the whole table, and may be inserted bucket by bucket.
#pragma once

#include <cstdint>

#include "embeddings/buffer.h"
#include "embeddings/id_place.h"
#include "runtime/philox.h"

namespace lime {

class IdMap {
 public:
  static constexpr int64_t absent = no_place;

  IdMap() { resize(16); }

  int64_t find(int64_t id) const {
    for (uint64_t i = home(id);; i = (i + 1) & mask_) {
      const Entry& entry = entries_[static_cast<int64_t>(i)];
      if (entry.id == id || entry.id == empty) return entry.place;  // `absent` if it is empty
    }
  }
  // Begins to load what find(id) will look at.
  void prefetch(int64_t id) const { __builtin_prefetch(&entries_[static_cast<int64_t>(home(id))]); }
  // `id` >= 0 must be absent.
  void insert(int64_t id, int64_t place);
  // `id` must be there.
  void replace(int64_t id, int64_t place);

  int64_t size() const { return size_; }
  int64_t bytes() const { return entries_.bytes(); }

  // f(id, place) for all ids, in no particular order.
  template <typename F>
  void for_each(F f) const {
    for (int64_t i = 0; i <= static_cast<int64_t>(mask_); ++i) {
      if (entries_[i].id != empty) f(entries_[i].id, entries_[i].place);
    }
  }

 private:
  static constexpr int64_t empty = -1;  // ids are not negative
  struct Entry {
    int64_t id, place;
  };
  uint64_t home(int64_t id) const { return mix64(static_cast<uint64_t>(id)) & mask_; }
  void put(int64_t id, int64_t place);
  void resize(uint64_t capacity);

  Buffer<Entry> entries_;
  uint64_t mask_ = 0;  // entries, a power of two, less one
  int64_t size_ = 0;
};

}  // namespace lime
