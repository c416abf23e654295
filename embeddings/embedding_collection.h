// EmbeddingCollection: the sparse tables of a model, sharded by row over all ranks.
//
//   id -> virtual bucket (hash) -> owner rank -> row
//
// An id is any int64 >= 0 (a negative id is "missing": a zero vector, no row). With capacity 0 a table is exact: a hash
// table that grows, so that no two ids share a row and none loses its row. With capacity m > 0 ids are folded modulo m.
// A new row's values are Philox keyed by (seed, table name, id), normal(0, init_std): the same whenever and wherever the
// id first appears.
//
// One training step, for all of this rank's micro-batches at once:
//
//   begin_lookup   dedup the ids, start the id exchange           (may run under the compute of the step before)
//   finish_lookup  owners insert new ids, gather rows, exchange   -> one row a unique id, in local memory
//   gather         a micro-batch's feature, pooled, into its columns of the dense network's input
//   add_gradient   the same columns of the input's gradient, summed per unique id by position
//   reduce         row gradients to their owners, summed along the tree over micro-batches and ranks
//   update         one fused optimizer update a row
//
// Determinism: every sum is ordered (by position within a micro-batch, then along tree_sum.h's tree in which an absent
// leaf adds nothing), so values and optimizer state are the same bits for any power-of-two number of ranks.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "parallel/communicator.h"
#include "runtime/context.h"
#include "runtime/tensor.h"

namespace lime {

enum class SparseOptimizer : uint8_t { sgd, rowwise_adagrad, adagrad, adam };
enum class Pooling : uint8_t { sum, mean };

struct TableConfig {
  std::string name;
  int64_t dim = 32;
  int64_t capacity = 0;  // 0: exact; m > 0: ids modulo m
  double init_std = 0.05;
  SparseOptimizer optimizer = SparseOptimizer::rowwise_adagrad;
  double learning_rate = 0.05;
  double eps = 1e-8;
  double beta1 = 0.9, beta2 = 0.999;       // adam
  double initial_accumulator = 0.0;        // adagrad
};

// One feature of one micro-batch: row i has the ids [offsets[i], offsets[i+1]), or the one id ids[i] where offsets is
// empty. Borrowed: must outlive the lookup.
struct FeatureIds {
  int64_t table = 0;
  Pooling pooling = Pooling::mean;
  std::span<const int64_t> ids;
  std::span<const int64_t> offsets;
};

// The virtual buckets of every table; owner(bucket) = bucket * ranks / virtual_buckets.
inline constexpr int64_t virtual_buckets = 1024;
int64_t bucket_of(int64_t id);
int owner_of(int64_t bucket, int ranks);

class Lookup;  // one step's exchange under way or done

// A bucket's rows as they are checkpointed: sorted by id.
struct TableRows {
  std::vector<int64_t> ids;
  std::vector<float> values;  // ids.size() x dim
  std::vector<float> state;   // ids.size() x state_width
};

class EmbeddingCollection {
 public:
  EmbeddingCollection(Context&, Communicator&, std::vector<TableConfig>, uint64_t seed);
  ~EmbeddingCollection();

  const std::vector<TableConfig>& tables() const;
  int64_t state_width(int64_t table) const;  // floats of optimizer state a row: 0, 1, dim or 2 dim (+1 step for adam)

  // features[m][f]: micro-batch m's feature f. All ranks call it, also with no micro-batch or no ids. `insert`: unseen ids
  // get rows (training); otherwise they read as their initial values and leave no trace (evaluation).
  std::unique_ptr<Lookup> begin_lookup(std::vector<std::vector<FeatureIds>> features, bool insert);
  void finish_lookup(Lookup&);

  // out: rows of the feature x dim.
  void gather(Context&, const Lookup&, int64_t micro_batch, int64_t feature, View out);
  void add_gradient(Context&, Lookup&, int64_t micro_batch, int64_t feature, const ConstView& dout);

  // `first_leaf` of `leaves`: which leaves of the global tree this rank's micro-batches are. Collective.
  void reduce(Lookup&, int64_t first_leaf, int64_t leaves);
  // After reduce: sum of squares of all row gradients of all ranks, per bucket in id order, then over buckets and tables in
  // order. Collective; the same bits on every rank.
  double gradient_sum_of_squares(const Lookup&);
  // grad = grad_scale * gradient; the table's learning rate is multiplied by lr_scale (the schedule).
  void update(Lookup&, double grad_scale, double lr_scale, int64_t step);

  // --- for checkpoints and inspection: this rank's rows -------------------------------------------------------------
  int64_t rows(int64_t table) const;
  int64_t bytes() const;                                    // resident, all tables
  TableRows bucket_rows(int64_t table, int64_t bucket) const;  // empty for a bucket owned elsewhere
  void load_rows(int64_t table, const TableRows&);             // ids must be owned here and not be present yet

  struct Timing { double exchange_wait_ms = 0, gather_ms = 0, update_ms = 0; };
  Timing take_timing();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lime
