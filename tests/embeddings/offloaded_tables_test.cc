// Tables in host memory, for a network on a device: those of a run without a device, to the bit.
#include <gtest/gtest.h>

#include "parallel/tree_sum.h"
#include "tests/embeddings/sparse_steps.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

class OffloadedTables : public DeviceTest, public testing::WithParamInterface<Device> {
 protected:
  OffloadedTables() : DeviceTest(GetParam()) {}

  void expect_same_bits(const EmbeddingCollection& got, const EmbeddingCollection& expected) {
    for (size_t t = 0; t < expected.tables().size(); ++t)
      EXPECT_EQ(got.rows(static_cast<int64_t>(t)), expected.rows(static_cast<int64_t>(t)));
    for (size_t t = 0; t < expected.tables().size(); ++t)
      EXPECT_EQ(got.waiting(static_cast<int64_t>(t)), expected.waiting(static_cast<int64_t>(t)));
    expect_same_rows(got, comm, expected);
  }

  Communicator& comm = test_group().world();
  Context host;
};
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(OffloadedTables);  // in builds without CUDA
INSTANTIATE_TEST_SUITE_P(Devices, OffloadedTables, testing::ValuesIn(test_cuda_devices()), device_name);

TEST_P(OffloadedTables, AreThoseOfTheHostToTheBit) {
  for (const auto optimizer : {SparseOptimizer::rowwise_adagrad, SparseOptimizer::adam}) {
    const auto tables = test_tables_that_wait(optimizer);
    StepTrainer offloaded(ctx, comm, tables, 7, TableMemory::host), expected(host, comm, tables, 7);
    for (int64_t step = 0; step < 4; ++step) {
      const Batch batch = make_batch(5, step, 4);
      EXPECT_EQ(offloaded.run_step(batch, step), expected.run_step(batch, step));
    }
    expect_same_bits(offloaded.collection(), expected.collection());
    EXPECT_EQ(offloaded.collection().bytes(), expected.collection().bytes());
  }
}

// A step that is not finished leaves nothing behind for the next one.
TEST_P(OffloadedTables, GradientsOfALookupThatIsDroppedAreForgotten) {
  const auto tables = test_tables(SparseOptimizer::sgd);
  StepTrainer offloaded(ctx, comm, tables, 3, TableMemory::host), expected(host, comm, tables, 3);
  const Batch dropped = make_batch(5, 0, 4), batch = make_batch(5, 1, 4);
  {
    const auto lookup = offloaded.begin(dropped);
    offloaded.collection().finish_lookup(*lookup);
    offloaded.compute(dropped, *lookup, 0);
  }
  EXPECT_EQ(offloaded.run_step(batch, 1), expected.run_step(batch, 1));
  expect_same_bits(offloaded.collection(), expected.collection());
}

TEST_P(OffloadedTables, RowsOfBf16AreTheRowsRoundedAndWhatLiesBesideThemStays) {
  Context half(ctx.device(), DType::bf16);
  const std::vector<TableConfig> tables{{.name = "t", .dim = 8, .optimizer = SparseOptimizer::sgd}};
  EmbeddingCollection offloaded(half, comm, tables, 1, nullptr, TableMemory::host),
      expected(host, comm, tables, 1);
  const std::vector<int64_t> ids{4, -1, 9, 4, 7}, offsets{0, 2, 2, 5};
  const std::vector<FeatureIds> features{{0, Pooling::sum, ids, {}}, {0, Pooling::mean, ids, offsets}};
  const auto look_up = [&](EmbeddingCollection& collection) {
    auto lookup = collection.begin_lookup({features}, true);
    collection.finish_lookup(*lookup);
    return lookup;
  };
  const auto lookup = look_up(offloaded), host_lookup = look_up(expected);
  for (int64_t feature = 0; feature < 2; ++feature) {
    const int64_t rows = feature == 0 ? 5 : 3;
    const Tensor exact(Device{}, DType::f32, rows, 8), wide(half.device(), DType::bf16, rows, 16);
    expected.gather(host, *host_lookup, 0, feature, exact);
    fill(half, wide, 7);
    offloaded.gather(half, *lookup, 0, feature, wide.view().slice_cols(3, 11));
    const auto got = to_host<bf16>(half, wide.view());
    for (size_t i = 0; i < got.size(); ++i) {
      const auto column = static_cast<int64_t>(i % 16) - 3;
      const float value = column >= 0 && column < 8
                              ? exact.view().data<float>()[i / 16 * 8 + static_cast<size_t>(column)]
                              : 7;
      EXPECT_EQ(got[i].bits, to_bf16(value).bits) << "feature " << feature;
    }
  }
  // Gradients in bf16, a stride apart: one of 1 for each id is exact.
  const Tensor ones(half.device(), DType::bf16, 5, 16);
  fill(half, ones, 1);
  offloaded.add_gradient(half, *lookup, 0, 0, ones.view().slice_cols(5, 13));
  const auto ranks = static_cast<int64_t>(comm.size());
  offloaded.reduce(*lookup, leaves_of(4, comm.rank(), comm.size()).first, 4);
  EXPECT_EQ(sum_of_squares(half, offloaded, *lookup), 8 * (4 + 1 + 1) * ranks * ranks);
}

}  // namespace
}  // namespace lime
