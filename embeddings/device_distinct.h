// Which ids occur in a step, and in which of its leaves, found on a CUDA device by sorting. Internal to
// embeddings/.
//
// The counterpart of dedup.h, with its words: a *leaf* is a micro-batch on the rank that looks up, or a
// requesting rank on the rank that owns the rows; a *slot* is one distinct id of one leaf. Here distinct ids
// are numbered by table, virtual bucket and id, and slots by distinct id and leaf: the slots of an id lie
// side by side, in the order in which tree sums take them, and the ids of an owner do. No number depends on
// time.
#pragma once

#include <cstdint>

#include "embeddings/device_buffer.h"
#include "runtime/context.h"

namespace lime {

// A run of occurrences: ids of one table, in one leaf. Ends where the next begins; leaves never decrease.
struct IdRange {
  int64_t first;
  int32_t table, leaf;
};

struct DeviceDistinct {
  DeviceBuffer<int64_t> ids;                             // [distinct]
  DeviceBuffer<uint32_t> place;                          // [distinct]: table * virtual_buckets + bucket
  DeviceBuffer<int32_t> first_slot;                      // [distinct + 1]
  DeviceBuffer<int32_t> leaf_of_slot, first_occurrence;  // [slots]; the latter: of the slot
  DeviceBuffer<int32_t> slot_of, distinct_of;            // [occurrences]; -1 for a missing id
  // Where a table's ids and slots of an owner begin, and end at last: [2][tables * owners + 1], by table,
  // owner.
  DeviceBuffer<int64_t> begins;
  // Where asked for, the occurrences of each range by distinct id, then in order, missing ids last:
  // [occurrences].
  DeviceBuffer<uint32_t> by_id;
};

// What is sorted.
struct IdOccurrences {
  const int64_t* ids;     // on the device: [count]
  int64_t count;          // below 2^31
  const IdRange* ranges;  // on the device: [range_count + 1], the last one's `first` is count
  int64_t range_count;
  const int64_t* capacities;  // on the device: [tables]; ids are folded modulo those above 0
  int64_t tables;
  int id_bits;  // an upper bound of the folded ids' bits
  int owners;   // begins are asked for by these
  bool by_id;
};

namespace cuda {

// Work on the context's stream; nobody waits. Scratch is the context's arena's.
void find_distinct(Context&, const IdOccurrences&, DeviceDistinct& out);

}  // namespace cuda
}  // namespace lime
