// Rows, optimizer state and norms must not depend on the number of ranks.
#include <gtest/gtest.h>

#include <bit>

#include "tests/embeddings/colliding_ids.h"
#include "tests/embeddings/sparse_steps.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

bool power_of_two() { return std::has_single_bit(static_cast<unsigned>(test_group().size())); }

// Steps on all ranks and, in each, the same steps on one rank.
void compare_with_one_rank(Context& ctx, const std::vector<TableConfig>& tables, int64_t leaves,
                           int64_t steps, bool same_bits) {
  Communicator& comm = test_group().world();
  const auto self = make_self_communicator();
  StepTrainer many(ctx, comm, tables, 9), one(ctx, *self, tables, 9);
  for (int64_t step = 0; step < steps; ++step) {
    const Batch batch = make_batch(2, step, leaves);
    const double got = many.run_step(batch, step), expected = one.run_step(batch, step);
    if (same_bits) {
      ASSERT_EQ(got, expected) << "norm at step " << step;
    } else {
      ASSERT_NEAR(got, expected, 1e-5 * expected);
    }
  }
  if (same_bits) {
    expect_same_rows(many.collection(), comm, one.collection());
    return;
  }
  for (int64_t t = 0; t < 4; ++t) {
    for (int64_t bucket = 0; bucket < virtual_buckets; ++bucket) {
      if (owner_of(bucket, comm.size()) != comm.rank()) continue;
      const TableRows got = many.collection().bucket_rows(t, bucket),
                      expected = one.collection().bucket_rows(t, bucket);
      ASSERT_EQ(got.ids, expected.ids);
      for (size_t i = 0; i < got.values.size(); ++i) ASSERT_NEAR(got.values[i], expected.values[i], 1e-5);
    }
  }
}

using EmbeddingRankCount = TablesTest;
INSTANTIATE_TEST_SUITE_P(Devices, EmbeddingRankCount, testing::ValuesIn(test_devices()), device_name);

TEST_P(EmbeddingRankCount, ManyStepsGiveTheSameBits) {
  const int64_t steps = ctx.device() == Device{} ? 20 : 3;  // the emulator takes its time
  compare_with_one_rank(ctx, test_tables(SparseOptimizer::rowwise_adagrad), 8, steps, power_of_two());
  compare_with_one_rank(ctx, test_tables(SparseOptimizer::adam), 4, steps, power_of_two());
}

// Random bits that round are a row's own, whoever owns it and whatever else is updated.
TEST_P(EmbeddingRankCount, RowsInBf16GiveTheSameBits) {
  if (!power_of_two()) GTEST_SKIP() << "sums of gradients differ, and so does what is rounded";
  const bool on_cpu = ctx.device() == Device{};
  compare_with_one_rank(ctx, test_tables_in_bf16(SparseOptimizer::rowwise_adagrad), 4, on_cpu ? 20 : 2, true);
  if (on_cpu) compare_with_one_rank(ctx, test_tables_in_bf16(SparseOptimizer::sgd), 1, 20, true);
}

// An id is counted once a step, by its owner, and what is dropped is in no norm.
TEST_P(EmbeddingRankCount, IdsThatWaitGiveTheSameBits) {
  if (!power_of_two()) GTEST_SKIP() << "sums of gradients differ, and so does what is rounded";
  const bool on_cpu = ctx.device() == Device{};
  compare_with_one_rank(ctx, test_tables_that_wait(SparseOptimizer::rowwise_adagrad), 4, on_cpu ? 20 : 3,
                        true);
  if (on_cpu) compare_with_one_rank(ctx, test_tables_that_wait(SparseOptimizer::adam), 8, 20, true);
}

// Fewer micro-batches than ranks: some ranks have none, and only own rows.
TEST_P(EmbeddingRankCount, RanksWithoutMicroBatches) {
  const int64_t steps = ctx.device() == Device{} ? 6 : 2;
  compare_with_one_rank(ctx, test_tables(SparseOptimizer::adagrad), 1, steps, true);
  compare_with_one_rank(ctx, test_tables(SparseOptimizer::sgd), 2, steps, power_of_two());
}

TEST_P(EmbeddingRankCount, StepsWithoutIds) {
  Communicator& comm = test_group().world();
  const auto self = make_self_communicator();
  const auto tables = test_tables(SparseOptimizer::adagrad);
  StepTrainer many(ctx, comm, tables, 9), one(ctx, *self, tables, 9);
  const Feature missing{0, Pooling::sum, {-1, -1}, {}}, lists{2, Pooling::mean, {}, {0, 0, 0}},
      some{1, Pooling::sum, {5, 7}, {}};
  const Batch nothing(4), only_missing(4, {missing, lists}),
      mixed{{missing}, {lists, some}, {}, {some, missing}};
  int64_t step = 0;
  for (const Batch& batch : {nothing, only_missing, mixed, nothing}) {
    const double got = many.run_step(batch, step), expected = one.run_step(batch, step);
    EXPECT_EQ(got, expected);
    EXPECT_EQ(got > 0, step == 2);
    ++step;
  }
  expect_same_rows(many.collection(), comm, one.collection());
  EXPECT_EQ(one.collection().rows(1), 2);
}

// No id shares a row or loses its own, whatever the ids.
TEST_P(EmbeddingRankCount, AdversarialIds) {
  Communicator& comm = test_group().world();
  const std::vector<TableConfig> tables{
      {.name = "t", .dim = 3, .optimizer = SparseOptimizer::sgd, .learning_rate = 1}};
  Feature feature{0, Pooling::sum, colliding_ids(300), {}};
  for (int64_t i = 0; i < 300; ++i) feature.ids.push_back(std::numeric_limits<int64_t>::max() - i);
  for (int64_t i = 0; i < 300; ++i) feature.ids.push_back(i << 50);
  const auto n = static_cast<int64_t>(feature.ids.size());
  const Batch batch(4, {feature});
  const auto self = make_self_communicator();
  StepTrainer many(ctx, comm, tables, 3), one(ctx, *self, tables, 3);
  for (int64_t step = 0; step < 2; ++step) {
    many.run_step(batch, step);
    one.run_step(batch, step);
  }
  EXPECT_EQ(one.collection().rows(0), n);
  if (power_of_two()) expect_same_rows(many.collection(), comm, one.collection());
  ReferenceTables reference(tables, 3);
  reference.run_step(batch, 0), reference.run_step(batch, 1);
  many.run_step(batch, 2, [&](int64_t, size_t, const std::vector<double>& got) {
    const auto expected = reference.gather(feature);
    for (size_t i = 0; i < got.size(); ++i)
      ASSERT_NEAR(got[i], expected[i], 1e-4) << "id " << feature.ids[i / 3];
  });
}

}  // namespace
}  // namespace lime
