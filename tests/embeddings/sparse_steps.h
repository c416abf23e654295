// Random training steps of a sparse side, a trainer that runs them, and what they must give, in f64.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "embeddings/embedding_collection.h"
#include "tests/support/device_support.h"

namespace lime {

// A feature of a micro-batch, owned.
struct Feature {
  int64_t table;
  Pooling pooling;
  std::vector<int64_t> ids, offsets;
  int64_t rows() const { return static_cast<int64_t>(offsets.empty() ? ids.size() : offsets.size() - 1); }
};
using MicroBatch = std::vector<Feature>;
using Batch = std::vector<MicroBatch>;

std::vector<TableConfig> test_tables(SparseOptimizer);
// The same, some in bf16: messages then have rows of both types.
std::vector<TableConfig> test_tables_in_bf16(SparseOptimizer);
// The same, and ids of the first two, one of which has a capacity, wait for a row.
std::vector<TableConfig> test_tables_that_wait(SparseOptimizer);
// The global batch of a step, of `leaves` micro-batches: several features a table, repeated ids, missing ids,
// lists, empty lists, empty features; ids that no other step has.
Batch make_batch(uint64_t seed, int64_t step, int64_t leaves);
// The feature's share of the loss's gradient, which depends on what was gathered: an error in a lookup shows
// in the rows. Row i, column c of feature f of global micro-batch m.
double gradient_at(int64_t step, int64_t m, size_t f, int64_t i, int64_t c, double gathered);

// The gradient's norm as a number.
double sum_of_squares(Context&, EmbeddingCollection&, Lookup&);

// What tables of the context's device talk to other ranks by; null where they need none.
std::unique_ptr<Communicator> device_communicator(Context&, Communicator& host);

// Tests of tables, on every device.
class TablesTest : public DeviceTest, public testing::WithParamInterface<Device> {
 protected:
  TablesTest() : DeviceTest(GetParam()) {}
};

// Runs steps on the micro-batches that belong to the rank of `comm`.
class StepTrainer {
 public:
  StepTrainer(Context& ctx, Communicator& comm, std::vector<TableConfig> tables, uint64_t seed,
              TableMemory = TableMemory::device);

  EmbeddingCollection& collection() { return collection_; }
  std::unique_ptr<Lookup> begin(const Batch& batch, bool insert = true);
  // Gathers and gives gradients for all features; `seen` is told what was gathered.
  using Seen = std::function<void(int64_t m, size_t f, const std::vector<double>& values)>;
  void compute(const Batch& batch, Lookup& lookup, int64_t step, const Seen& seen = {});
  // reduce, norm, update; returns the sum of squares of the gradient.
  double apply(const Batch& batch, Lookup& lookup, int64_t step);
  double run_step(const Batch& batch, int64_t step, const Seen& seen = {});

 private:
  Context& ctx_;
  Communicator& comm_;
  std::unique_ptr<Communicator> on_device_;
  EmbeddingCollection collection_;
  std::map<const Lookup*, std::vector<Tensor>> inputs_;  // of lookups that are not applied
};

// How every step scales gradients and learning rates.
constexpr double test_grad_scale = 0.5;
inline double test_lr_scale(int64_t step) { return 1.0 / static_cast<double>(1 + step); }

// A dense, slow, obvious sparse side.
class ReferenceTables {
 public:
  ReferenceTables(std::vector<TableConfig> tables, uint64_t seed) : tables_(std::move(tables)), seed_(seed) {}
  struct Row {
    std::vector<double> values, sum, m, v;
    double row_sum = 0;
    int64_t updates = 0;
  };
  std::vector<double> gather(const Feature& feature);
  // Returns the sum of squares of the gradient.
  double run_step(const Batch& batch, int64_t step);
  const std::map<int64_t, Row>& trained_rows(size_t table) { return trained_[table]; }
  // Steps that met each id that waits for a row.
  const std::map<int64_t, int64_t>& waiting(size_t table) { return waiting_[table]; }
  int64_t fold(size_t table, int64_t id) const;

 private:
  Row& row(std::map<int64_t, Row>& rows, size_t table, int64_t id);
  std::vector<TableConfig> tables_;
  uint64_t seed_;
  std::map<size_t, std::map<int64_t, Row>> trained_;
  std::map<size_t, std::map<int64_t, int64_t>> waiting_;
};

// Whether all rows and waiting ids that `some` owns are bit for bit those of `all`, a collection on one rank
// or on the same ranks; says which are not.
void expect_same_rows(const EmbeddingCollection& some, Communicator& comm, const EmbeddingCollection& all);

}  // namespace lime
