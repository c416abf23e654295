// EmbeddingCollection: the sparse tables of a model, sharded by row over all ranks.
//
//   id -> virtual bucket (hash) -> owner rank -> row
//
// An id is any int64 >= 0 (a negative id is "missing": a zero vector, no row). With capacity 0 a table is
// exact: a hash table that grows, so that no two ids share a row and none loses its row. With capacity m > 0
// ids are folded modulo m. An unseen id reads as Philox keyed by (seed, table name, id), normal(0, init_std):
// the same whenever and wherever it first appears. It becomes a row with its first update, or its
// admit_after-th (TableConfig); what was only looked up leaves no trace.
//
// Rows in bf16 are updated in f32 and rounded stochastically (row_type.h), to x in the mean, so that updates
// below half a unit in the last place are not lost but made with the probability that they have. The random
// bits are Philox's, keyed by (seed, table name, id), at a place that the update's number and the column
// give: there is no generator whose state could differ between ranks or be lost. First values, and f32 rows
// that are loaded, are rounded to nearest.
//
// One training step, for all of this rank's micro-batches at once:
//
//   begin_lookup   dedup the ids, start the id exchange (may run under the compute of the step before)
//   finish_lookup  owners read rows, exchange: one row a unique id, in local memory
//   gather         a micro-batch's feature, pooled, into its columns of the dense network's input
//   add_gradient   the same columns of the input's gradient, summed per unique id by position
//   reduce         row gradients to their owners, summed along the tree over micro-batches and ranks
//   update         one fused optimizer update a row
//
// The trainer's order, which overlaps the id exchange of step t+1 with step t: begin_lookup(t+1), gather(t),
// dense network, add_gradient(t), reduce(t), update(t), finish_lookup(t+1). Rows are read in finish_lookup,
// so t+1 sees step t's update. begin_lookup, finish_lookup, reduce, gradient_sum_of_squares and the
// constructor are collective: all ranks call them in the same order, with the same lookups. They throw Error
// where a collective or a call out of turn fails.
//
// Determinism: every sum is ordered (by position within a micro-batch, then along tree_sum.h's tree in which
// an absent leaf adds nothing), so values and optimizer state are the same bits for any power-of-two number
// of ranks. Tables on a CUDA device have the same rows and sums as those in host memory, to the rounding of
// f32 (docs/adr/0012); rows go from one to the other by bucket_rows and load_rows. Tables in host memory are
// the same bits whatever device asks, as long as the gradients are.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "parallel/communicator.h"
#include "runtime/context.h"
#include "runtime/tensor.h"

namespace lime {

enum class SparseOptimizer : uint8_t { sgd, rowwise_adagrad, adagrad, adam };
enum class Pooling : uint8_t { sum, mean };
// Where tables are: in the memory of the context's device, or in the host's whatever the device.
enum class TableMemory : uint8_t { device, host };

struct TableConfig {
  std::string name;
  int64_t dim = 32;
  DType type = DType::f32;  // of the stored rows: f32, or bf16, which is half of it; the state is f32
  int64_t capacity = 0;     // 0: exact; m > 0: ids modulo m
  double init_std = 0.05;
  SparseOptimizer optimizer = SparseOptimizer::rowwise_adagrad;
  double learning_rate = 0.05;
  double eps = 1e-8;
  double beta1 = 0.9, beta2 = 0.999;  // adam
  double initial_accumulator = 0.0;   // adagrad
  int64_t keep_runs = 0;  // a run that begins with another's rows (train.from) takes those that one of the
                          // latest `keep_runs` runs updated; 0: all
  // An id gets its row in the admit_after-th update that has a gradient for it, 1..255. Until then it waits:
  // it reads as unseen ids do, its gradient is dropped, and the index of ids counts these updates: once each,
  // in however many micro-batches, places or ranks the id is. With a capacity, what is counted is the id
  // modulo that.
  int64_t admit_after = 1;
};

// One feature of one micro-batch: row i has the ids [offsets[i], offsets[i+1]), or the one id ids[i] where
// offsets is empty. Borrowed: must outlive the lookup.
struct FeatureIds {
  int64_t table = 0;
  Pooling pooling = Pooling::mean;
  std::span<const int64_t> ids;
  std::span<const int64_t> offsets;
};

// The virtual buckets of every table; owner(bucket) = bucket * ranks / virtual_buckets.
inline constexpr int64_t virtual_buckets = 1024;
int64_t bucket_of(int64_t id);
constexpr int64_t bucket_of_hash(uint64_t hash) { return static_cast<int64_t>(hash >> 54); }  // of mix64(id)
int owner_of(int64_t bucket, int ranks);
int64_t first_bucket_of(int rank, int ranks);  // rank's buckets end where those of rank + 1 begin

struct LookupState;
struct LookupPool;

// One step's exchange, under way or done. Several may be alive at once; none outlives its collection's
// communicator.
class Lookup {
 public:
  ~Lookup();  // gives its memory to a later lookup
  Lookup(const Lookup&) = delete;
  Lookup& operator=(const Lookup&) = delete;

 private:
  friend class EmbeddingCollection;
  Lookup(std::shared_ptr<LookupPool>, std::unique_ptr<LookupState>);
  std::shared_ptr<LookupPool> pool_;
  std::unique_ptr<LookupState> state_;
};

// A bucket's ids that wait for a row, sorted.
struct WaitingIds {
  std::vector<int64_t> ids;
  std::vector<uint8_t> steps;  // updates that had a gradient for it, 1..254
  std::vector<uint8_t> idle;   // runs since the one of the last of these, as of rows
};

// A bucket's rows as they are checkpointed: sorted by id.
struct TableRows {
  std::vector<int64_t> ids;
  std::vector<float> values;  // ids.size() x dim; of a table in bf16 what its rows are, exactly
  std::vector<float> state;   // ids.size() x state_width
  // Runs since the one that updated the row last: 0 where this one did, at most 255. Empty: all 0.
  std::vector<uint8_t> idle = {};
  WaitingIds waiting = {};
};

class EmbeddingCollection {
 public:
  // What goes in and out of the tables is on the context's device. The communicator is over host memory;
  // `on_device`, of the same ranks over the device's, is needed where there are several ranks and the tables
  // are on a CUDA device. All outlive the collection. Throws UserError for a table that cannot be (a name
  // twice, dim 0, ...).
  EmbeddingCollection(Context&, Communicator&, std::vector<TableConfig>, uint64_t seed,
                      Communicator* on_device = nullptr, TableMemory = TableMemory::device);
  ~EmbeddingCollection();

  const std::vector<TableConfig>& tables() const;
  // Floats of optimizer state a row: 0, 1, dim or 2 dim (+1 step for adam).
  int64_t state_width(int64_t table) const;

  // features[m][f]: micro-batch m's feature f. All ranks call it, also with no micro-batch or no ids.
  // `insert`: the lookup takes gradients, with which unseen ids get rows (training); without, none
  // (evaluation).
  std::unique_ptr<Lookup> begin_lookup(std::vector<std::vector<FeatureIds>> features, bool insert);
  void finish_lookup(Lookup&);

  // out: rows of the feature x dim, of the context's device, f32, f64 or (CUDA) bf16, any stride. A missing
  // id is a zero vector and not counted by a mean. Before the next update(): rows are read where they are.
  void gather(Context&, const Lookup&, int64_t micro_batch, int64_t feature, View out);
  // A feature may be given once, several times or not at all; sums are in the order of the calls. `stays`:
  // dout is as it is until update() has been given to the context's stream, and may be read there instead of
  // a copy.
  void add_gradient(Context&, Lookup&, int64_t micro_batch, int64_t feature, const ConstView& dout,
                    bool stays = false);

  // `first_leaf` of `leaves`: which leaves of the global tree this rank's micro-batches are, as leaves_of
  // (tree_sum.h) deals them; missing ones at the end are absent.
  void reduce(Lookup&, int64_t first_leaf, int64_t leaves);
  // After reduce: out (1 x 1, f64, on the context's device) = sum of squares of all row gradients of all
  // ranks that an update would use now, per bucket in id order, then over tables and buckets in one order.
  // The same bits on every rank. What is dropped, as its id goes on waiting for a row, is not in it: it moves
  // nothing, and must not scale down what does.
  void gradient_sum_of_squares(Lookup&, View out);
  // grad = grad_scale * gradient; the table's learning rate is multiplied by lr_scale (the schedule).
  // grad_scale (1 x 1, f64) is on the context's device; one that is not finite changes nothing. Adam's
  // corrections count a row's own updates, kept with its state. `step`, the run's number of this update,
  // names it in errors and is what the random bits of rows in bf16 are drawn by: give each update its own,
  // and the same on all ranks and when a run is resumed.
  void update(Lookup&, const ConstView& grad_scale, double lr_scale, int64_t step);

  // --- for serving, on one rank of a CPU: safe from any number of threads while nobody updates -----
  // out (rows x dim, f32): what gather() gives of these ids, read straight from the tables.
  void read(const FeatureIds&, View out) const;
  // The smallest id whose row holds a NaN or an infinity.
  std::optional<int64_t> not_finite(int64_t table) const;

  // --- for checkpoints and inspection: this rank's rows ------------------------------------------
  int64_t rows(int64_t table) const;
  int64_t waiting(int64_t table) const;                        // ids that wait for a row
  int64_t bytes() const;                                       // resident, all tables
  TableRows bucket_rows(int64_t table, int64_t bucket) const;  // empty for a bucket owned elsewhere
  // Ids must be owned here and not be present yet. A table with admit_after 1 leaves waiting ids out: an id
  // without a trace does there what they would do.
  void load_rows(int64_t table, const TableRows&);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lime
