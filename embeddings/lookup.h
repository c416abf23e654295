// HostLookup: a lookup in tables in host memory. Internal to embeddings/.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "embeddings/dedup.h"
#include "embeddings/embedding_collection.h"
#include "embeddings/exchange.h"
#include "embeddings/lookup_kernels.h"
#include "embeddings/table_shard.h"
#include "embeddings/tables.h"

namespace lime {

// One table's part of a lookup.
struct TableLookup {
  // As a rank that looks up: this rank's distinct ids, a slot for each micro-batch that an id is in.
  DistinctIds wanted;
  Buffer<int64_t> asked;   // [wanted.size]: index among the asked ids
  Buffer<int64_t> row_at;  // [wanted.size]: offset of its row in Requests::rows, if it comes there
  // [wanted.slots]: the slot's row: in Requests::rows, or where it is, if it is this rank's own.
  Buffer<const void*> row_of_slot;  // of the table's type
  Buffer<float> gradients;          // [wanted.slots x dim]
  Buffer<uint8_t> present;          // [wanted.slots]: has a gradient

  // As the owner: the distinct ids that all ranks asked for, a slot for each rank that asked.
  DistinctIds owned;
  Buffer<int64_t> shard_row;      // [owned.size]: its place in the shard when last looked
  Buffer<int64_t> answer;         // [owned.size]: offset of its (first) answer
  std::vector<float*> slot_part;  // [owned.slots]: the rank's gradient of the row, or null
  Buffer<float*> total;           // [owned.size]: the row's whole gradient, or null; after reduce
};

struct HostLookup final : LookupState {
  void release() override { requests.work.reset(); }

  std::vector<std::vector<int64_t>> first_occurrence;  // [micro-batch][feature]: into occurrences
  Buffer<int32_t> occurrences;                         // slots
  std::vector<TableLookup> tables;
  Requests requests;
  std::vector<float*> parts, received_parts;  // of asked and of received ids

  FeatureSlots slots_of(int64_t micro_batch, int64_t feature) const;
};

// Finds the distinct ids of all micro-batches, deals them to their owners and fills state.requests.
void collect_ids(HostLookup& state, Dedup& dedup, std::span<const TableShard> shards,
                 const RowExchange& exchange);

// The owner's side, after the ids are here: finds distinct received ids and writes a row for each received
// id; of the rank's own, only those of ids that have no row yet.
void answer_requests(HostLookup& state, Dedup& dedup, std::span<const TableShard> shards,
                     RowExchange& exchange);

// After the rows are here: fills `row_of_slot`, valid until the next update.
void place_rows(HostLookup& state, std::span<const TableShard> shards, RowExchange& exchange);

// Sums row gradients over micro-batches, sends them to the owners and sums them over ranks: fills `total`.
void reduce_gradients(HostLookup& state, RowExchange& exchange);

}  // namespace lime
