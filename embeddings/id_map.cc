#include "embeddings/id_map.h"

namespace lime {

void IdMap::place(Segment& segment, int64_t id, int64_t row) {
  uint64_t i = mix64(static_cast<uint64_t>(id)) & segment.mask;
  while (segment.entries[i].id != empty) {
    LIME_CHECK(segment.entries[i].id != id, "id ", id, " is inserted twice");
    i = (i + 1) & segment.mask;
  }
  segment.entries[i] = {id, row};
}

void IdMap::grow(Segment& segment) {
  const uint64_t old_entries = segment.entries ? uint64_t{segment.mask} + 1 : 0;
  const uint64_t entries = old_entries ? 2 * old_entries : 4;
  LIME_CHECK(entries <= uint64_t{1} << 32, "more than 2^31 ids in a bucket");
  const std::unique_ptr<Entry[]> old = std::move(segment.entries);
  segment.entries = std::make_unique<Entry[]>(entries);
  segment.mask = static_cast<uint32_t>(entries - 1);
  for (uint64_t i = 0; i < old_entries; ++i) {
    if (old[i].id != empty) place(segment, old[i].id, old[i].row);
  }
  bytes_ += static_cast<int64_t>((entries - old_entries) * sizeof(Entry));
}

void IdMap::insert(int64_t id, int64_t row) {
  LIME_CHECK(id >= 0, "id ", id, " has no row");
  Segment& segment = segments_[static_cast<size_t>(bucket_of(id))];
  // At most three quarters full: probes stay within a cache line or two.
  if (!segment.entries || 4 * (uint64_t{segment.used} + 1) > 3 * (uint64_t{segment.mask} + 1)) grow(segment);
  place(segment, id, row);
  ++segment.used;
  ++size_;
}

}  // namespace lime
