#include "embeddings/dedup.h"

#include <bit>
#include <limits>

#include "runtime/error.h"
#include "runtime/philox.h"

namespace lime {

void DistinctIds::reserve(int64_t count) {
  LIME_CHECK(slots + count <= std::numeric_limits<int32_t>::max(), "more than 2^31 ids of a table in a step");
  ids.reserve(size + count, size);
  first_slot.reserve(size + count, size);
  unique_of_slot.reserve(slots + count, slots);
  next_slot.reserve(slots + count, slots);
  leaf_of_slot.reserve(slots + count, slots);
}

int32_t DistinctIds::add_slot(int32_t unique, int32_t leaf) {
  unique_of_slot[slots] = unique;
  next_slot[slots] = none;
  leaf_of_slot[slots] = leaf;
  return slots++;
}

int32_t DistinctIds::add_id(int64_t id, int32_t leaf) {
  ids[size] = id;
  first_slot[size] = slots;
  return add_slot(size++, leaf);
}

void Dedup::begin(DistinctIds& out, int64_t expected) {
  out_ = &out;
  out.clear();
  resize(std::bit_ceil(static_cast<uint64_t>(std::max<int64_t>(expected + expected / 2 + 2, 64))));
}

void Dedup::begin_leaf(int32_t leaf) {
  leaf_ = leaf;
  leaf_begin_ = out_->slots;
}

uint64_t Dedup::place_of(int64_t id) const { return mix64(static_cast<uint64_t>(id)) & mask_; }

// At most two thirds full.
void Dedup::resize(uint64_t entries) {
  entries_.discard_and_reserve(static_cast<int64_t>(entries));
  std::memset(static_cast<void*>(entries_.data()), 0xff, entries * sizeof(Entry));  // every id is `empty`
  mask_ = entries - 1;
  limit_ = static_cast<int64_t>(entries / 3 * 2);
}

int32_t Dedup::slot_of(int64_t id) {
  uint64_t i = place_of(id);
  while (entries_[static_cast<int64_t>(i)].id != id) {
    if (entries_[static_cast<int64_t>(i)].id == empty) {
      if (out_->size < limit_) {
        const int32_t slot = out_->add_id(id, leaf_);
        entries_[static_cast<int64_t>(i)] = {id, slot};
        return slot;
      }
      // Full: start again twice as large. What was found so far is in `out`, the latest slots at the end of
      // the chains.
      resize(2 * (mask_ + 1));
      for (int32_t s = 0; s < out_->slots; ++s) {
        const int64_t known = out_->ids[out_->unique_of_slot[s]];
        uint64_t j = place_of(known);
        while (entries_[static_cast<int64_t>(j)].id != empty &&
               entries_[static_cast<int64_t>(j)].id != known) {
          j = (j + 1) & mask_;
        }
        entries_[static_cast<int64_t>(j)] = {known, s};
      }
      return slot_of(id);
    }
    i = (i + 1) & mask_;
  }
  Entry& entry = entries_[static_cast<int64_t>(i)];
  if (entry.slot < leaf_begin_) {  // known from an earlier leaf
    const int32_t slot = out_->add_slot(out_->unique_of_slot[entry.slot], leaf_);
    out_->next_slot[entry.slot] = slot;
    entry.slot = slot;
  }
  return static_cast<int32_t>(entry.slot);
}

void Dedup::add_distinct(DistinctIds& out, std::span<const int64_t> ids) {
  out.clear();
  out.reserve(static_cast<int64_t>(ids.size()));
  for (const int64_t id : ids) out.add_id(id, 0);
}

}  // namespace lime
