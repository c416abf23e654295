// LookupState: what one step's lookup knows, between begin_lookup and update. Internal to embeddings/.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "embeddings/dedup.h"
#include "embeddings/embedding_collection.h"
#include "embeddings/exchange.h"
#include "embeddings/lookup_kernels.h"
#include "embeddings/table_shard.h"

namespace lime {

// One table's part of a lookup.
struct TableLookup {
  // As a rank that looks up: this rank's distinct ids, a slot for each micro-batch that an id is in.
  DistinctIds wanted;
  Buffer<int64_t> asked;        // [wanted.size]: index among the asked ids
  Buffer<int64_t> row_of_slot;  // [wanted.slots]: offset of the slot's row in Requests::rows
  Buffer<float> gradients;      // [wanted.slots x dim]
  Buffer<uint8_t> present;      // [wanted.slots]: has a gradient

  // As the owner: the distinct ids that all ranks asked for, a slot for each rank that asked.
  DistinctIds owned;
  Buffer<int64_t> shard_row;      // [owned.size]: row in the shard, or IdMap::absent when last looked
  Buffer<int64_t> answer;         // [owned.size]: offset of its (first) answer
  std::vector<float*> slot_part;  // [owned.slots]: the rank's gradient of the row, or null
  Buffer<float*> total;           // [owned.size]: the row's whole gradient, or null; after reduce
};

struct LookupState {
  std::vector<std::vector<FeatureIds>> features;  // [micro-batch][feature]
  bool insert = false;
  enum class Stage : uint8_t { begun, finished, reduced, updated } stage = Stage::begun;
  std::vector<std::vector<int64_t>> first_occurrence;  // [micro-batch][feature]: into occurrences
  Buffer<int32_t> occurrences;                         // slots
  std::vector<TableLookup> tables;
  Requests requests;
  std::vector<float*> parts, received_parts;  // of asked and of received ids

  FeatureSlots slots_of(int64_t micro_batch, int64_t feature) const;
};

// States are used again, with their memory, by the lookups of later steps.
struct LookupPool {
  std::vector<std::unique_ptr<LookupState>> free;
  std::vector<LookupState*> begun;  // in order of begin_lookup

  std::unique_ptr<LookupState> take();
  void remove_from_begun(const LookupState*);
};

// Throws Error naming what of a feature does not fit the tables.
void check_feature(const FeatureIds&, std::span<const TableConfig> tables);
void check_features(const std::vector<std::vector<FeatureIds>>& features,
                    std::span<const TableConfig> tables);

// Finds the distinct ids of all micro-batches, deals them to their owners and fills state.requests.
void collect_ids(LookupState& state, Dedup& dedup, std::span<const TableShard> shards,
                 const RowExchange& exchange);

// The owner's side, after the ids are here: finds distinct received ids and writes a row for each received
// id.
void answer_requests(LookupState& state, Dedup& dedup, std::span<const TableShard> shards,
                     RowExchange& exchange);

// Sums row gradients over micro-batches, sends them to the owners and sums them over ranks: fills `total`.
void reduce_gradients(LookupState& state, RowExchange& exchange);

}  // namespace lime
