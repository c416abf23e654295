#include "embeddings/id_map.h"

#include <utility>

namespace lime {

IdMap::IdMap(int64_t first_bucket, int64_t last_bucket)
    : first_bucket_(first_bucket),
      last_bucket_(last_bucket),
      first_hash_(static_cast<uint64_t>(first_bucket) << bucket_shift) {
  LIME_CHECK(0 <= first_bucket && first_bucket < last_bucket && last_bucket <= virtual_buckets, "buckets [",
             first_bucket, ",", last_bucket, ")");
  resize(16);
}

void IdMap::resize(uint64_t capacity) {
  Buffer<Entry> old = std::exchange(entries_, {});
  const uint64_t old_capacity = std::exchange(capacity_, capacity);
  scale_ =
      capacity * static_cast<uint64_t>(virtual_buckets) / static_cast<uint64_t>(last_bucket_ - first_bucket_);
  std::fill_n(entries_.discard_and_reserve(static_cast<int64_t>(capacity)), capacity, Entry{empty, absent});
  for (uint64_t i = 0; i < old_capacity; ++i) {
    const Entry& entry = old[static_cast<int64_t>(i)];
    if (entry.id != empty) place(entry.id, entry.row);
  }
}

void IdMap::place(int64_t id, int64_t row) {
  uint64_t i = home(hash_of(id));
  for (; entries_[static_cast<int64_t>(i)].id != empty; i = next(i)) {
    LIME_CHECK(entries_[static_cast<int64_t>(i)].id != id, "id ", id, " is inserted twice");
  }
  entries_[static_cast<int64_t>(i)] = {id, row};
}

void IdMap::insert(int64_t id, int64_t row) {
  const int64_t bucket = bucket_of(id);
  LIME_CHECK(id >= 0 && first_bucket_ <= bucket && bucket < last_bucket_, "id ", id, " of bucket ", bucket,
             " among buckets [", first_bucket_, ",", last_bucket_, ")");
  // At most seven tenths full: probes stay within a cache line or two.
  if (10 * (static_cast<uint64_t>(size_) + 1) > 7 * capacity_) resize(2 * capacity_);
  place(id, row);
  ++size_;
}

}  // namespace lime
