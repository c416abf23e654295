// Against a dense reference in f64: what is gathered, the gradient's norm, and rows after several steps.
#include <gtest/gtest.h>

#include <span>

#include "tests/embeddings/sparse_steps.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

class EmbeddingReference : public DeviceTest,
                           public testing::WithParamInterface<std::tuple<Device, SparseOptimizer>> {
 protected:
  EmbeddingReference() : DeviceTest(std::get<0>(GetParam())), optimizer(std::get<1>(GetParam())) {}
  SparseOptimizer optimizer;
};

TEST_P(EmbeddingReference, StepsAgree) {
  Communicator& comm = test_group().world();
  StepTrainer trainer(ctx, comm, test_tables(optimizer), 5);
  ReferenceTables reference(test_tables(optimizer), 5);
  const auto of_all_ranks = [&](int64_t mine) {
    int64_t sum = 0;
    for (const int64_t there : all_gather_values(comm, std::span(&mine, 1))) sum += there;
    return sum;
  };
  for (int64_t step = 0; step < 5; ++step) {
    const Batch batch = make_batch(1, step, 4);
    int64_t compared = 0;
    const double sum =
        trainer.run_step(batch, step, [&](int64_t m, size_t f, const std::vector<double>& got) {
          const auto expected = reference.gather(batch[static_cast<size_t>(m)][f]);
          ASSERT_EQ(got.size(), expected.size());
          for (size_t i = 0; i < got.size(); ++i) {
            ASSERT_NEAR(got[i], expected[i], 2e-5)
                << "step " << step << " micro-batch " << m << " feature " << f;
            compared += got[i] != 0;
          }
        });
    EXPECT_GT(of_all_ranks(compared), 100);
    const double expected_sum = reference.run_step(batch, step);
    EXPECT_NEAR(sum, expected_sum, 1e-5 * expected_sum);
  }
  int64_t all_rows = 0, expected_rows = 0;
  for (size_t t = 0; t < trainer.collection().tables().size(); ++t) {
    const auto dim = static_cast<size_t>(trainer.collection().tables()[t].dim);
    const auto& expected = reference.trained_rows(t);
    int64_t rows = 0;
    for (int64_t bucket = 0; bucket < virtual_buckets; ++bucket) {
      const TableRows got = trainer.collection().bucket_rows(static_cast<int64_t>(t), bucket);
      ASSERT_EQ(got.values.size(), got.ids.size() * dim);
      rows += static_cast<int64_t>(got.ids.size());
      for (size_t i = 0; i < got.ids.size(); ++i) {
        ASSERT_TRUE(expected.contains(got.ids[i])) << got.ids[i];
        const auto& row = expected.at(got.ids[i]);
        for (size_t c = 0; c < dim; ++c) ASSERT_NEAR(got.values[i * dim + c], row.values[c], 2e-5);
        if (optimizer == SparseOptimizer::adam) {
          ASSERT_EQ(got.state[(i + 1) * (2 * dim + 1) - 1], static_cast<float>(row.updates));
        }
      }
    }
    EXPECT_EQ(rows, trainer.collection().rows(static_cast<int64_t>(t)));
    all_rows += of_all_ranks(rows);
    expected_rows += static_cast<int64_t>(expected.size());
  }
  EXPECT_EQ(all_rows, expected_rows);
}

INSTANTIATE_TEST_SUITE_P(All, EmbeddingReference,
                         testing::Combine(testing::ValuesIn(test_devices()),
                                          testing::Values(SparseOptimizer::sgd,
                                                          SparseOptimizer::rowwise_adagrad,
                                                          SparseOptimizer::adagrad, SparseOptimizer::adam)));

class EmbeddingInF64 : public DeviceTest, public testing::WithParamInterface<Device> {
 protected:
  EmbeddingInF64() : DeviceTest(GetParam(), DType::f64) {}
};
INSTANTIATE_TEST_SUITE_P(Devices, EmbeddingInF64, testing::ValuesIn(test_devices()), device_name);

// In f64 what is gathered is the same, and gradients are taken.
TEST_P(EmbeddingInF64, Converts) {
  Communicator& comm = test_group().world();
  const auto on_device = device_communicator(ctx, comm);
  const std::vector<TableConfig> tables{
      {.name = "t", .dim = 5, .optimizer = SparseOptimizer::sgd, .learning_rate = 1}};
  EmbeddingCollection collection(ctx, comm, tables, 1, on_device.get());
  const std::vector<int64_t> ids{4, -1, 9, 4, 9, 9}, offsets{0, 1, 3, 6};
  const auto features = [&] {
    std::vector<std::vector<FeatureIds>> all;
    if (comm.rank() == 0) all = {{{0, Pooling::sum, ids, {}}, {0, Pooling::mean, ids, offsets}}};
    return all;
  };
  auto lookup = collection.begin_lookup(features(), true);
  collection.finish_lookup(*lookup);
  if (comm.rank() == 0) {
    const View single = ctx.alloc(6, 5), pooled = ctx.alloc(3, 5);
    collection.gather(ctx, *lookup, 0, 0, single);
    collection.gather(ctx, *lookup, 0, 1, pooled);
    const auto one = to_host<double>(ctx, single), of_lists = to_host<double>(ctx, pooled);
    const double four = one[2], nine = one[2 * 5 + 2];
    EXPECT_NE(four, nine);
    EXPECT_EQ(one[5 + 2], 0);
    EXPECT_DOUBLE_EQ(of_lists[2], four);
    EXPECT_DOUBLE_EQ(of_lists[5 + 2], nine);
    EXPECT_DOUBLE_EQ(of_lists[2 * 5 + 2], (four + 2 * nine) / 3);
    fill(ctx, single, 0.25);
    fill(ctx, pooled, 3);
    collection.add_gradient(ctx, *lookup, 0, 0, single);
    collection.add_gradient(ctx, *lookup, 0, 1, pooled);
  }
  collection.reduce(*lookup, comm.rank(), comm.size());
  const double of_four = 0.25 + 0.25 + 3 + 1, of_nine = 3 * 0.25 + 3 + 1 + 1;
  EXPECT_NEAR(sum_of_squares(ctx, collection, *lookup), 5 * (of_four * of_four + of_nine * of_nine), 1e-4);
}

}  // namespace
}  // namespace lime
