// IdMap: id -> row, exactly, for the ids of a range of virtual buckets. Internal to embeddings/.
//
// One open-addressing table in which ids lie in the order of their hashes, give or take a probe: a bucket's
// ids are neighbours and can be listed without a look at the others, and growth is one pass from the old
// table to the new.
#pragma once

#include <cstdint>

#include "embeddings/buffer.h"
#include "embeddings/embedding_collection.h"
#include "runtime/philox.h"

namespace lime {

class IdMap {
 public:
  static constexpr int64_t absent = -1;

  // For ids of the buckets [first_bucket, last_bucket).
  IdMap(int64_t first_bucket, int64_t last_bucket);

  int64_t find(int64_t id) const {
    for (uint64_t i = home(hash_of(id));; i = next(i)) {
      const Entry& entry = entries_[static_cast<int64_t>(i)];
      if (entry.id == id || entry.id == empty) return entry.row;  // an empty entry's row is `absent`
    }
  }
  // Begins to load what find(id) will look at.
  void prefetch(int64_t id) const { __builtin_prefetch(&entries_[static_cast<int64_t>(home(hash_of(id)))]); }
  // `id` >= 0 must be absent.
  void insert(int64_t id, int64_t row);

  int64_t size() const { return size_; }
  int64_t bytes() const { return entries_.bytes(); }

  // f(id, row) for the ids of a bucket, in no particular order.
  template <typename F>
  void for_each(int64_t bucket, F f) const {
    if (bucket < first_bucket_ || bucket >= last_bucket_) return;
    const uint64_t hash = static_cast<uint64_t>(bucket) << bucket_shift;
    const uint64_t first = home(hash), last = home(hash | ((uint64_t{1} << bucket_shift) - 1));
    // Ids that had to make way are behind their homes, with no empty entry in between.
    for (uint64_t i = first, n = 0; n < capacity_; i = next(i), ++n) {
      const Entry& entry = entries_[static_cast<int64_t>(i)];
      if (entry.id == empty && n >= last - first) break;
      if (entry.id != empty && bucket_of(entry.id) == bucket) f(entry.id, entry.row);
    }
  }

 private:
  static constexpr int64_t empty = -1;  // ids are not negative
  static constexpr int bucket_shift = 54;
  struct Entry {
    int64_t id, row;
  };
  static uint64_t hash_of(int64_t id) { return mix64(static_cast<uint64_t>(id)); }
  // The hashes of the range, scaled to [0, capacity).
  uint64_t home(uint64_t hash) const {
    __extension__ using Wide = unsigned __int128;
    return static_cast<uint64_t>(Wide{hash - first_hash_} * scale_ >> 64);
  }
  uint64_t next(uint64_t i) const { return i + 1 == capacity_ ? 0 : i + 1; }
  void place(int64_t id, int64_t row);
  void resize(uint64_t capacity);

  int64_t first_bucket_, last_bucket_;
  uint64_t first_hash_;
  uint64_t capacity_ = 0, scale_ = 0;
  Buffer<Entry> entries_;
  int64_t size_ = 0;
};

}  // namespace lime
