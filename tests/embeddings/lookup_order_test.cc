// Lookups under way at the same time, and lookups that must leave no trace.
#include <gtest/gtest.h>

#include "tests/embeddings/sparse_steps.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

const auto tables = [] { return test_tables(SparseOptimizer::rowwise_adagrad); };

using EmbeddingLookup = TablesTest;
INSTANTIATE_TEST_SUITE_P(Devices, EmbeddingLookup, testing::ValuesIn(test_devices()), device_name);

TEST_P(EmbeddingLookup, OverlappedStepsEqualStepsOneByOne) {
  Communicator& comm = test_group().world();
  StepTrainer overlapped(ctx, comm, tables(), 4), plain(ctx, comm, tables(), 4);
  const int64_t steps = ctx.device() == Device{} ? 8 : 3;
  std::vector<Batch> batches;
  for (int64_t step = 0; step < steps; ++step) batches.push_back(make_batch(6, step, 4));
  std::vector<double> seen_plain, seen_overlapped;
  const auto note = [](std::vector<double>& seen) {
    return [&seen](int64_t, size_t, const std::vector<double>& values) {
      seen.insert(seen.end(), values.begin(), values.end());
    };
  };
  for (int64_t step = 0; step < steps; ++step)
    plain.run_step(batches[static_cast<size_t>(step)], step, note(seen_plain));

  auto current = overlapped.begin(batches[0]);
  overlapped.collection().finish_lookup(*current);
  for (int64_t step = 0; step < steps; ++step) {
    const Batch& batch = batches[static_cast<size_t>(step)];
    std::unique_ptr<Lookup> next;
    if (step + 1 < steps) next = overlapped.begin(batches[static_cast<size_t>(step) + 1]);
    overlapped.compute(batch, *current, step, note(seen_overlapped));
    overlapped.apply(batch, *current, step);
    if (next) overlapped.collection().finish_lookup(*next);
    current = std::move(next);
  }
  EXPECT_EQ(seen_overlapped, seen_plain);
  for (int64_t t = 0; t < 4; ++t) {
    for (int64_t bucket = 0; bucket < virtual_buckets; ++bucket) {
      const TableRows a = overlapped.collection().bucket_rows(t, bucket),
                      b = plain.collection().bucket_rows(t, bucket);
      ASSERT_EQ(a.ids, b.ids);
      ASSERT_EQ(a.values, b.values);
      ASSERT_EQ(a.state, b.state);
    }
  }
}

// Prefetched and dropped, as when a run is stopped; and evaluation in the middle of training.
TEST_P(EmbeddingLookup, LooksWithoutUpdatesLeaveNoTrace) {
  Communicator& comm = test_group().world();
  StepTrainer trainer(ctx, comm, tables(), 4), undisturbed(ctx, comm, tables(), 4);
  for (int64_t step = 0; step < (ctx.device() == Device{} ? 3 : 2); ++step) {
    const Batch batch = make_batch(6, step, 4), other = make_batch(7, step, 4);
    auto prefetched = trainer.begin(other);
    auto evaluated = trainer.begin(other, /*insert=*/false);
    auto lookup = trainer.begin(batch);
    trainer.collection().finish_lookup(*lookup);
    trainer.collection().finish_lookup(*evaluated);  // not in the order of begin_lookup
    trainer.compute(batch, *lookup, step);
    trainer.apply(batch, *lookup, step);
    if (step == 1) trainer.collection().finish_lookup(*prefetched);
    prefetched.reset();
    undisturbed.run_step(batch, step);
  }
  for (int64_t t = 0; t < 4; ++t) {
    EXPECT_EQ(trainer.collection().rows(t), undisturbed.collection().rows(t));
    for (int64_t bucket = 0; bucket < virtual_buckets; ++bucket) {
      const TableRows a = trainer.collection().bucket_rows(t, bucket),
                      b = undisturbed.collection().bucket_rows(t, bucket);
      ASSERT_EQ(a.ids, b.ids);
      ASSERT_EQ(a.values, b.values);
    }
  }
}

// Two lookups with the same unseen ids, both trained: the second finds the first one's rows.
TEST_P(EmbeddingLookup, TwoLookupsOfTheSameNewIds) {
  Communicator& comm = test_group().world();
  StepTrainer trainer(ctx, comm, tables(), 4);
  const Batch batch = make_batch(8, 0, 4);
  auto a = trainer.begin(batch), b = trainer.begin(batch);
  trainer.collection().finish_lookup(*a);
  trainer.collection().finish_lookup(*b);
  trainer.compute(batch, *a, 0);
  trainer.compute(batch, *b, 0);
  trainer.apply(batch, *a, 0);
  const int64_t rows = trainer.collection().rows(0);
  trainer.apply(batch, *b, 0);
  EXPECT_EQ(trainer.collection().rows(0), rows);
}

TEST_P(EmbeddingLookup, OnlyIdsWithAGradientBecomeRows) {
  Communicator& comm = test_group().world();
  const auto on_device = device_communicator(ctx, comm);
  EmbeddingCollection collection(ctx, comm, tables(), 4, on_device.get());
  const std::vector<int64_t> with{1, 2, 3}, without{3, 4, 5, 6};
  std::vector<std::vector<FeatureIds>> features;
  if (comm.rank() == comm.size() - 1)
    features = {{{0, Pooling::sum, with, {}}, {0, Pooling::sum, without, {}}}};
  auto lookup = collection.begin_lookup(features, true);
  collection.finish_lookup(*lookup);
  if (!features.empty()) collection.add_gradient(ctx, *lookup, 0, 0, ctx.zeros(3, 16));
  collection.reduce(*lookup, comm.rank(), comm.size());
  collection.update(*lookup, device_scalar(ctx, 1).view(), 1, 0);
  int64_t rows = collection.rows(0), all = 0;
  for (const int64_t there : all_gather_values(comm, std::span(&rows, 1))) all += there;
  EXPECT_EQ(all, 3);
}

// Many steps of one size: memory is found once.
TEST_P(EmbeddingLookup, ManyDistinctIdsInAStep) {
  Communicator& comm = test_group().world();
  const std::vector<TableConfig> config{
      {.name = "t", .dim = 4, .optimizer = SparseOptimizer::sgd, .learning_rate = 1}};
  Feature feature{0, Pooling::sum, {}, {}};
  for (int64_t i = 0; i < 60000; ++i) feature.ids.push_back(i * 1000003 % (int64_t{1} << 44));
  const Batch batch(static_cast<size_t>(comm.size()), {feature});
  StepTrainer trainer(ctx, comm, config, 3);
  trainer.run_step(batch, 0);
  int64_t rows = trainer.collection().rows(0), all = 0;
  for (const int64_t there : all_gather_values(comm, std::span(&rows, 1))) all += there;
  EXPECT_EQ(all, 60000);
  EXPECT_GE(trainer.collection().bytes(), rows * 4 * 4);
  EXPECT_LE(trainer.collection().bytes(), rows * 4 * 4 + rows * 100 + (8 << 20));
}

}  // namespace
}  // namespace lime
