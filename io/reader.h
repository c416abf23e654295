// BatchReader: streams a range of days as batches that do not depend on the number of ranks.
//
// The global batch is cut into `virtual_shards` micro-batches. Virtual shard v reads the parts p with
// p mod virtual_shards = v, day by day, parts of a day in an order drawn from (seed, epoch, day, shard),
// requests of a part shuffled in windows. Rank r of R holds a contiguous range of shards
// (parallel/tree_sum.h, leaves_of). A shard that has run dry contributes empty micro-batches; next() returns
// a batch that has ended() when this rank has none left, and goes on doing so: the trainer asks all ranks
// whether any has data.
//
// A micro-batch is cut at `requests` requests, or before its history tokens would exceed `history_tokens` (at
// least one request always goes in). Histories are the last `max_history` events strictly before the request.
// Memory: one events part a shard, `cache_bytes` of others, and `prefetch` batches; threads read ahead.
// Errors in files are UserErrors that name the file (truncated, a flipped byte, a missing column), thrown by
// next().
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "io/batch.h"
#include "io/batch_plan.h"
#include "io/dataset.h"
#include "io/number_buckets.h"

namespace lime {

// Features by name. In `history`: "item", item columns, event columns, and "age" (the time-difference
// bucket); of two columns of one name the event's. In `candidate`: "item", item columns, candidate columns.
// In `user`: "user" (the id), user columns, request columns.
struct BatchSpec {
  std::vector<std::string> history, candidate, user;
  int64_t age_buckets = 32;  // min(floor(log2(1 + seconds)), age_buckets - 1)
  // Of real columns, by name: such a feature is the id of the number's bucket. Without an entry, or with
  // count 0, it is the number itself.
  std::map<std::string, NumberBuckets> buckets;
  std::vector<std::string> tasks;           // labels
  std::vector<double> task_weights;         // by task
  std::vector<std::string> sample_weights;  // by task: a weight column, or "" for 1
  std::string metric_weight;                // a weight column for WT-AUC, or ""
};

struct ResolvedFeature {
  std::string name;
  ColumnKind kind = ColumnKind::id;  // in a batch
  // Where it is read ("item" in history: event; in candidate: candidate).
  ColumnGroup source = ColumnGroup::event;
  std::optional<NumberBuckets> buckets = std::nullopt;  // of a real column whose buckets are the ids
  ColumnKind stored_kind() const { return buckets ? ColumnKind::real : kind; }
};
// Features in order: those of kind id and ids are IdColumns in this order, real ones columns of `real`, of
// which there are so many.
struct ResolvedSpec {
  std::vector<ResolvedFeature> history, candidate, user;
  int64_t history_real = 0, candidate_real = 0, user_real = 0;
};
// Throws UserError naming the config key (features.history ...), the unknown name and the nearest known one,
// what events without an item cannot have, or buckets of no real column or of unknown boundaries.
ResolvedSpec resolve_features(const DatasetSchema&, const BatchSpec&);

// Throws UserError naming the key and the nearest label where the dataset has no such one.
void check_label(const DatasetSchema&, const std::string& label, const std::string& key);

// All features that a dataset has for each side.
struct FeatureNames {
  std::vector<std::string> history, candidate, user;
};
FeatureNames available_features(const DatasetSchema&);

class ItemTable;
// Those columns of items.h5 that the features read: one table for all readers of a dataset, also of other
// processes (io/item_table.h).
std::shared_ptr<const ItemTable> read_items(const Dataset&, const BatchSpec&);

enum class HistoryMode : uint8_t {
  running,  // events up to each request
  frozen,   // events before the first day of the reader's range
  none,     // every history is empty
  stranger  // another user's: the next user of the part that has one. A check that attention reads it
};

struct ReaderOptions {
  std::vector<std::string> days;
  BatchSpec spec;
  int64_t virtual_shards = 4;
  // Most of a micro-batch.
  int64_t requests = 128;
  int64_t history_tokens = 0;  // 0: any number
  // Each shard's requests are spread evenly over the epoch's batches (BatchPlan). With a token budget that
  // takes the histories of this rank's shards, and the batches of the shard that needs most of them on any
  // rank, as batches_needed says; 0: batches are cut as large as the limits allow.
  std::shared_ptr<const HistoryLoads> histories = nullptr;
  int64_t batches = 0;
  int64_t max_history = 256;
  HistoryMode history_mode = HistoryMode::running;
  // Of candidates that no task with a weight has a label above 0 of, only this share is read, as
  // io/negative_sampling.h says. Requests of which nothing is left are left out (MicroBatch::left_out); the
  // sizes above count them.
  double keep_negatives = 1;
  bool shuffle = true;
  int64_t shuffle_window = 65536;  // requests
  uint64_t seed = 1;
  int64_t epoch = 0;
  int rank = 0, ranks = 1;
  // Of each request's history, along time, and of its candidates only part `history_part` of `history_parts`,
  // equal to within a row. Requests, budgets and positions are the same for all parts.
  int history_part = 0, history_parts = 1;
  int64_t prefetch = 4;  // batches ahead
  int threads = 1;       // read-ahead threads
  int64_t cache_bytes =
      int64_t{1} << 30;  // of events parts that are kept for the next day, beside those in use
  std::shared_ptr<const ItemTable> items = nullptr;  // of read_items, for `spec`; null: read by this reader
};

// For readers of a training range with a token budget: how long histories are in this rank's shards, the same
// for each epoch, and the batches that the shard needs that needs most.
std::shared_ptr<const HistoryLoads> measure_histories(const Dataset&, const ReaderOptions&);
int64_t batches_needed(const HistoryLoads&, const ReaderOptions&);

class BatchReader {
 public:
  // Throws UserError where the dataset has fewer parts than virtual shards.
  BatchReader(const Dataset&, ReaderOptions);
  ~BatchReader();

  // Continues from positions of an earlier batch (all shards' may be given; this rank's are taken). Before
  // next().
  void seek(const std::vector<ShardPosition>&);
  Batch next();
  // Milliseconds next() has waited for data since the last call.
  double take_wait_ms();
  int64_t requests_in_epoch() const;  // of all ranks: for progress and ETA
  // Batches of an epoch, on any number of ranks: with a token budget as planned (an epoch may be a batch
  // longer or shorter), 0 without a plan.
  int64_t batches_in_epoch() const;
  int64_t resident_bytes() const;  // parts and prefetched batches held now

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lime
