// Dedup: which ids occur in a step, and in which of its leaves. Internal to embeddings/.
//
// A *leaf* is a micro-batch on the rank that looks up, or a requesting rank on the rank that owns the rows. A
// *slot* is one distinct id of one leaf: the place of that leaf's gradient of that row. The slots of an id
// are chained in leaf order, which is the order in which tree sums take them. Everything is numbered by first
// appearance: no order depends on hashes, and none on time.
#pragma once

#include <cstdint>
#include <span>

#include "embeddings/buffer.h"

namespace lime {

// The distinct ids of one table.
struct DistinctIds {
  static constexpr int32_t none = -1;

  int32_t size = 0;  // distinct ids
  int32_t slots = 0;
  Buffer<int64_t> ids;         // [size]
  Buffer<int32_t> first_slot;  // [size]
  // [slots]; next_slot: same id, later leaf, or none.
  Buffer<int32_t> unique_of_slot, next_slot, leaf_of_slot;

  void clear() { size = slots = 0; }
  // Room for `count` more slots.
  void reserve(int64_t count);
  int32_t add_slot(int32_t unique, int32_t leaf);
  int32_t add_id(int64_t id, int32_t leaf);  // returns its first slot
};

// Finds distinct ids by a scratch hash table, which is kept between steps.
class Dedup {
 public:
  // Starts over, for one table. `expected` distinct ids: a hint.
  void begin(DistinctIds& out, int64_t expected);
  // Leaves in increasing order; a leaf's ids may come in several calls of add.
  void begin_leaf(int32_t leaf);
  // slots[i] = slot of fold(ids[i]) in the current leaf, or none for a negative id.
  template <typename Fold>
  void add(std::span<const int64_t> ids, Fold fold, int32_t* slots);
  // The same for ids known to be distinct, if they are all there is: nothing to look up.
  static void add_distinct(DistinctIds& out, std::span<const int64_t> ids);

 private:
  static constexpr int64_t empty = -1;
  struct Entry {
    int64_t id;
    int64_t slot;  // the latest
  };
  int32_t slot_of(int64_t id);
  uint64_t place_of(int64_t id) const;
  void resize(uint64_t entries);

  DistinctIds* out_ = nullptr;
  int32_t leaf_ = 0, leaf_begin_ = 0;  // current leaf and its first slot
  Buffer<Entry> entries_;
  uint64_t mask_ = 0;
  int64_t limit_ = 0;  // distinct ids at which the table grows
};

template <typename Fold>
void Dedup::add(std::span<const int64_t> ids, Fold fold, int32_t* slots) {
  constexpr size_t ahead = 16;  // lookups whose first cache line is on its way
  out_->reserve(static_cast<int64_t>(ids.size()));
  for (size_t i = 0; i < ids.size(); ++i) {
    if (i + ahead < ids.size())
      __builtin_prefetch(&entries_[static_cast<int64_t>(place_of(fold(ids[i + ahead])))]);
    const int64_t id = fold(ids[i]);
    slots[i] = id < 0 ? DistinctIds::none : slot_of(id);
  }
}

}  // namespace lime
