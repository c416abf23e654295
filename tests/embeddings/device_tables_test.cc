// What tables on a device have that those in host memory have not: sums of ids that occur very often, cut
// into pieces; rows in bf16; memory that ends; and agreement with the host's tables.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "embeddings/device_table.h"
#include "embeddings/row_counts.h"
#include "runtime/philox.h"
#include "tests/embeddings/sparse_steps.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

class DeviceTables : public DeviceTest, public testing::WithParamInterface<Device> {
 protected:
  DeviceTables() : DeviceTest(GetParam()), comm(make_self_communicator()) {}
  // How rows of so many columns move with the sums of gradients of many occurrences, which are checked.
  using Rows = std::vector<std::vector<float>>;
  Rows check_sums(int64_t dim, bool stays);
  // Calls check(got, expected) with each bucket's rows of test_tables(), which must be those of the same ids.
  template <typename Check>
  static void for_buckets(StepTrainer& got, StepTrainer& expected, Check check) {
    for (int64_t t = 0; t < 4; ++t) {
      for (int64_t bucket = 0; bucket < virtual_buckets; ++bucket) {
        const TableRows a = got.collection().bucket_rows(t, bucket),
                        b = expected.collection().bucket_rows(t, bucket);
        ASSERT_EQ(a.ids, b.ids);
        ASSERT_EQ(a.state.size(), b.state.size());
        ASSERT_EQ(a.waiting.ids, b.waiting.ids);
        ASSERT_EQ(a.waiting.steps, b.waiting.steps);
        ASSERT_NO_FATAL_FAILURE(check(a, b));
      }
    }
  }
  void check_bf16_columns(DType stored);

  std::unique_ptr<Communicator> comm;
};
INSTANTIATE_TEST_SUITE_P(Devices, DeviceTables, testing::ValuesIn(test_cuda_devices()), device_name);

// Runs of one id that end, begin and go on at every place of a chunk, over several levels of partial sums.
// Rows of whole packs may also be left where they are.
TEST_P(DeviceTables, SumsOfManyOccurrencesAreOrderedAndRight) {
  check_sums(6, true);
  EXPECT_EQ(check_sums(8, true), check_sums(8, false));
}

DeviceTables::Rows DeviceTables::check_sums(int64_t dim, bool stays) {
  const auto width = static_cast<size_t>(dim);
  const std::vector<TableConfig> tables{
      {.name = "t", .dim = dim, .optimizer = SparseOptimizer::sgd, .learning_rate = 1}};
  const std::vector<int64_t> lengths{1, 31, 32, 33, 64, 5, 127, 1, 1, 1, 4100, 2, 1, 256, 96, 3};
  std::vector<int64_t> ids;
  for (size_t id = 0; id < lengths.size(); ++id)
    for (int64_t i = 0; i < lengths[id]; ++i) ids.push_back(static_cast<int64_t>(id) * 3);
  ids.insert(ids.end(), 40, -1);
  const Philox random(2, stream_of("order"));
  for (size_t i = ids.size() - 1; i > 0; --i) std::swap(ids[i], ids[random.below(i + 1, i)]);
  std::vector<float> gradient;
  for (size_t i = 0; i < ids.size() * width; ++i) gradient.push_back(static_cast<float>(random.normal(i)));
  const Tensor dout = to_device(ctx, gradient, static_cast<int64_t>(ids.size()));

  const auto step = [&](int times) {  // the rows' change, where the feature is given so many times
    EmbeddingCollection collection(ctx, *comm, tables, 1);
    const auto lookup = collection.begin_lookup({{{0, Pooling::sum, ids, {}}}}, true);
    collection.finish_lookup(*lookup);
    const Tensor before(ctx.device(), DType::f32, static_cast<int64_t>(ids.size()), dim);
    collection.gather(ctx, *lookup, 0, 0, before);
    for (int i = 0; i < times; ++i) collection.add_gradient(ctx, *lookup, 0, 0, dout.view(), stays);
    collection.reduce(*lookup, 0, 1);
    collection.update(*lookup, device_scalar(ctx, 1).view(), 1, 1);
    Rows moved(lengths.size());
    const auto old = to_host<float>(ctx, before.view());
    for (size_t i = 0; i < ids.size(); ++i) {
      if (ids[i] < 0 || !moved[static_cast<size_t>(ids[i] / 3)].empty()) continue;
      const TableRows rows = collection.bucket_rows(0, bucket_of(ids[i]));
      const auto at =
          static_cast<size_t>(std::find(rows.ids.begin(), rows.ids.end(), ids[i]) - rows.ids.begin());
      for (size_t c = 0; c < width; ++c)
        moved[static_cast<size_t>(ids[i] / 3)].push_back(old[i * width + c] - rows.values[at * width + c]);
    }
    return moved;
  };
  Rows moved;
  for (const int times : {1, 2}) {
    moved = step(times);
    for (size_t id = 0; id < lengths.size(); ++id) {
      EXPECT_EQ(moved[id].size(), width) << id;
      for (size_t c = 0; c < moved[id].size(); ++c) {
        double expected = 0;
        for (size_t i = 0; i < ids.size(); ++i)
          if (ids[i] == static_cast<int64_t>(id) * 3) expected += times * double{gradient[i * width + c]};
        EXPECT_NEAR(moved[id][c], expected, 1e-4) << lengths[id] << " occurrences, column " << c;
      }
    }
  }
  EXPECT_EQ(step(2), moved);
  return moved;
}

// Into columns that packs fit and into others; what lies beside them stays.
TEST_P(DeviceTables, RowsInBf16AreTheRowsRounded) {
  for (const DType stored : {DType::f32, DType::bf16}) check_bf16_columns(stored);
}

void DeviceTables::check_bf16_columns(DType stored) {
  Context half(ctx.device(), DType::bf16);
  EmbeddingCollection collection(half, *comm, {{.name = "t", .dim = 8, .type = stored}}, 1);
  const std::vector<int64_t> ids{4, -1, 9, 4, 7}, offsets{0, 2, 2, 5};
  const auto lookup =
      collection.begin_lookup({{{0, Pooling::sum, ids, {}}, {0, Pooling::mean, ids, offsets}}}, true);
  collection.finish_lookup(*lookup);
  for (int64_t feature = 0; feature < 2; ++feature) {
    const int64_t rows = feature == 0 ? 5 : 3;
    const Tensor exact(half.device(), DType::f32, rows, 8);
    collection.gather(half, *lookup, 0, feature, exact);
    const auto expected = to_host<float>(half, exact.view());
    for (const int64_t column : {0, 4, 3}) {
      const Tensor wide(half.device(), DType::bf16, rows, 16);
      fill(half, wide, 7);
      collection.gather(half, *lookup, 0, feature, wide.view().slice_cols(column, column + 8));
      const auto got = to_host<bf16>(half, wide.view());
      for (size_t i = 0; i < got.size(); ++i) {
        const int64_t c = static_cast<int64_t>(i % 16) - column;
        const float value = c >= 0 && c < 8 ? expected[i / 16 * 8 + static_cast<size_t>(c)] : 7;
        EXPECT_EQ(got[i].bits, to_bf16(value).bits) << "feature " << feature << " from column " << column;
      }
    }
  }
  // Gradients of one in bf16: a step of sgd is exact.
  const Tensor ones(half.device(), DType::bf16, 5, 8);
  fill(half, ones, 1);
  collection.add_gradient(half, *lookup, 0, 0, ones.view());
  collection.reduce(*lookup, 0, 1);
  EXPECT_EQ(sum_of_squares(half, collection, *lookup), 8 * (4 + 1 + 1));
}

// The same steps on tables of both devices, from the same rows: as equal as f32 is.
// With one micro-batch gradients may be left in place; where rows are whole packs they are, also of means.
TEST_P(DeviceTables, AgreeWithTheHostsTables) {
  Context host_ctx;
  for (const auto& [optimizer, micro_batches] : {std::pair{SparseOptimizer::adam, 2},
                                                 {SparseOptimizer::rowwise_adagrad, 2},
                                                 {SparseOptimizer::adagrad, 1}}) {
    std::vector<TableConfig> tables = test_tables(optimizer);
    if (micro_batches == 1) tables[2].dim = 36;
    if (optimizer == SparseOptimizer::adam) tables[0].admit_after = 2;
    StepTrainer device(ctx, *comm, tables, 7), host(host_ctx, *comm, tables, 7);
    for (int64_t step = 0; step < 2; ++step) {
      const Batch batch = make_batch(5, step, micro_batches);
      const double squares = host.run_step(batch, step);
      EXPECT_NEAR(device.run_step(batch, step), squares, 2e-6 * squares);
    }
    for_buckets(device, host, [](const TableRows& got, const TableRows& expected) {
      for (size_t i = 0; i < got.values.size(); ++i) ASSERT_NEAR(got.values[i], expected.values[i], 5e-6);
      for (size_t i = 0; i < got.state.size(); ++i)
        ASSERT_NEAR(got.state[i], expected.state[i], 1e-5 * (1 + std::abs(expected.state[i])));
    });
  }
}

// The host is steps ahead of the device: the memory of a lookup that is over goes to a later one, whose ids
// are found beside the updates, and must not be written before they have read it.
TEST_P(DeviceTables, ALaterLookupWaitsForTheMemoryThatItIsGiven) {
  const std::vector<TableConfig> tables{{.name = "t", .dim = 8, .optimizer = SparseOptimizer::sgd}};
  const Tensor ones(ctx.device(), DType::f32, 64, 8), scale = device_scalar(ctx, 1);
  fill(ctx, ones, 1);
  const auto rows_after = [&](bool waits) {
    EmbeddingCollection collection(ctx, *comm, tables, 1);
    for (int64_t step = 0; step < 12; ++step) {
      std::vector<int64_t> ids;
      for (int64_t i = 0; i < 64; ++i) ids.push_back((step * 37 + i * i) % 200);
      const auto lookup = collection.begin_lookup({{{0, Pooling::sum, ids, {}}}}, true);
      collection.finish_lookup(*lookup);
      collection.add_gradient(ctx, *lookup, 0, 0, ones.view());
      collection.reduce(*lookup, 0, 1);
      collection.update(*lookup, scale.view(), 1, step);
      if (waits) ctx.synchronize();
    }
    std::vector<std::vector<float>> rows;
    for (int64_t bucket = 0; bucket < virtual_buckets; ++bucket)
      rows.push_back(collection.bucket_rows(0, bucket).values);
    return rows;
  };
  EXPECT_EQ(rows_after(false), rows_after(true));
}

// Rows in bf16 are rounded by the same bits on both devices. Where what is rounded differs by one in the last
// place of f32, a neighbour is stored once in 2^16 times; later steps see it.
TEST_P(DeviceTables, AgreeWithTheHostsTablesInBf16) {
  Context host_ctx;
  for (const auto optimizer : {SparseOptimizer::sgd, SparseOptimizer::rowwise_adagrad,
                               SparseOptimizer::adagrad, SparseOptimizer::adam}) {
    std::vector<TableConfig> tables = test_tables(optimizer);
    for (TableConfig& table : tables) table.type = DType::bf16;
    StepTrainer device(ctx, *comm, tables, 7), host(host_ctx, *comm, tables, 7);
    size_t all = 0, other = 0;
    for (int64_t step = 1; step < 3; ++step) {
      const Batch batch = make_batch(5, step, 2);
      const double squares = host.run_step(batch, step);
      EXPECT_NEAR(device.run_step(batch, step), squares, 1e-4 * squares);
    }
    for_buckets(device, host, [&](const TableRows& got, const TableRows& expected) {
      for (size_t i = 0; i < got.values.size(); ++i) {
        const float ulp = std::ldexp(1.0f, std::ilogb(std::max(std::abs(expected.values[i]), 0x1p-20f)) - 7);
        ASSERT_NEAR(got.values[i], expected.values[i], 2 * ulp);
        ASSERT_EQ(to_float(to_bf16(got.values[i])), got.values[i]);
        other += got.values[i] != expected.values[i];
      }
      all += got.values.size();
    });
    EXPECT_GT(all, 3000u);
    EXPECT_LT(other, all / 500) << "of " << all;
  }
}

// The host learns late how many rows an update added: until then it counts the most that may have been.
TEST_P(DeviceTables, RoomIsMadeForRowsThatTheHostDoesNotKnowOf) {
  RowCounts counts(ctx, 2);
  const auto update = [&](int64_t a, int64_t b) {  // adds (a, b) rows, of twice as many at most
    const std::vector<int64_t> now{counts.exact()[0] + a, counts.exact()[1] + b};
    copy(ctx, ConstView(now.data(), 1, 2), View(counts.on_device(), DType::i64, ctx.device(), 1, 2, 2));
    counts.added({2 * a, 2 * b});
  };
  update(10, 3);
  const auto at_most = counts.at_most();
  EXPECT_TRUE(at_most == (std::vector<int64_t>{10, 3}) || at_most == (std::vector<int64_t>{20, 6}));
  EXPECT_EQ(counts.exact(), (std::vector<int64_t>{10, 3}));
  update(5, 0);
  counts.add(1, 4);
  EXPECT_EQ(counts.at_most(), (std::vector<int64_t>{15, 7}));
  EXPECT_EQ(to_host<int64_t>(ctx, ConstView(counts.on_device(), DType::i64, ctx.device(), 1, 2, 2)),
            counts.exact());
  // Far ahead of the device, it waits.
  for (int i = 0; i < 8; ++i) counts.added({100, 100});
  EXPECT_LE(counts.at_most()[0], 15 + 4 * 100);
  EXPECT_GE(counts.at_most()[0], 15);
}

TEST_P(DeviceTables, AFullDeviceIsNamed) {
  DeviceTable table(ctx, {.name = "items", .dim = int64_t{1} << 40}, 1);
  const std::string error = user_error([&] { table.reserve(1000, 1000); });
  EXPECT_NE(
      error.find(
          "embedding table 'items': no memory on cuda:0 for 1000 rows, 4398046511109000 bytes and 1000 ids"),
      std::string::npos)
      << error;
  EXPECT_NE(error.find("free"), std::string::npos) << error;
  EXPECT_NE(error.find("embeddings.memory: host"), std::string::npos) << error;
  DeviceTable other(ctx, {.name = "small", .dim = 4}, 1);
  EXPECT_NO_THROW(other.reserve(1000, 1000));
}

}  // namespace
}  // namespace lime
