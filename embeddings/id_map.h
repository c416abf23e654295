// IdMap: id -> row, exactly. Open addressing in one segment a virtual bucket. Internal to embeddings/.
//
// A segment grows by itself, so that growth never stops a step for the whole table, and a bucket's ids can be
// listed without a look at the others. The bucket is the top of the id's hash, the place within the segment
// its bottom.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "embeddings/embedding_collection.h"
#include "runtime/philox.h"

namespace lime {

class IdMap {
 public:
  static constexpr int64_t absent = -1;

  IdMap() : segments_(static_cast<size_t>(virtual_buckets)) {}

  int64_t find(int64_t id) const {
    const uint64_t hash = mix64(static_cast<uint64_t>(id));
    const Segment& segment = segments_[segment_of(hash)];
    if (!segment.entries) return absent;
    for (uint64_t i = hash & segment.mask;; i = (i + 1) & segment.mask) {
      const Entry& entry = segment.entries[i];
      if (entry.id == id || entry.id == empty) return entry.row;  // an empty entry's row is `absent`
    }
  }
  // Begins to load what find(id) will look at.
  void prefetch(int64_t id) const {
    const uint64_t hash = mix64(static_cast<uint64_t>(id));
    const Segment& segment = segments_[segment_of(hash)];
    if (segment.entries) __builtin_prefetch(&segment.entries[hash & segment.mask]);
  }
  // `id` >= 0 must be absent.
  void insert(int64_t id, int64_t row);

  int64_t size() const { return size_; }
  int64_t bytes() const { return bytes_; }

  // f(id, row) for the ids of a bucket, in no particular order.
  template <typename F>
  void for_each(int64_t bucket, F f) const {
    const Segment& segment = segments_[static_cast<size_t>(bucket)];
    for (uint64_t i = 0; segment.entries && i <= segment.mask; ++i) {
      if (segment.entries[i].id != empty) f(segment.entries[i].id, segment.entries[i].row);
    }
  }
  int64_t size(int64_t bucket) const { return segments_[static_cast<size_t>(bucket)].used; }

 private:
  static constexpr int64_t empty = -1;  // ids are not negative
  struct Entry {
    int64_t id = empty, row = absent;
  };
  struct Segment {
    std::unique_ptr<Entry[]> entries;
    uint32_t mask = 0, used = 0;  // entries - 1, a power of two less one; ids in it
  };
  static size_t segment_of(uint64_t hash) { return static_cast<size_t>(bucket_of_hash(hash)); }
  static void place(Segment&, int64_t id, int64_t row);
  void grow(Segment&);

  std::vector<Segment> segments_;
  int64_t size_ = 0, bytes_ = 0;
};

}  // namespace lime
