// Rows out of and into a collection: what checkpoints are made of.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "tests/embeddings/sparse_steps.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

// Every rank gets all rows of a bucket from its owner.
TableRows shared_bucket(Communicator& comm, const EmbeddingCollection& collection, int64_t table,
                        int64_t bucket) {
  TableRows rows = collection.bucket_rows(table, bucket);
  const auto share = [&](auto& vector) {
    using T = typename std::remove_reference_t<decltype(vector)>::value_type;
    std::vector<char> bytes(vector.size() * sizeof(T));
    if (!bytes.empty()) std::memcpy(bytes.data(), vector.data(), bytes.size());
    broadcast_bytes(comm, bytes, owner_of(bucket, comm.size()));
    vector.resize(bytes.size() / sizeof(T));
    if (!bytes.empty()) std::memcpy(vector.data(), bytes.data(), bytes.size());
  };
  share(rows.ids), share(rows.values), share(rows.state), share(rows.idle);
  share(rows.waiting.ids), share(rows.waiting.steps), share(rows.waiting.idle);
  return rows;
}

using EmbeddingRows = TablesTest;
INSTANTIATE_TEST_SUITE_P(Devices, EmbeddingRows, testing::ValuesIn(test_devices()), device_name);

void append(TableRows& to, const TableRows& from) {
  const auto add = [](auto& all, const auto& more) { all.insert(all.end(), more.begin(), more.end()); };
  add(to.ids, from.ids), add(to.values, from.values), add(to.state, from.state), add(to.idle, from.idle);
  add(to.waiting.ids, from.waiting.ids), add(to.waiting.steps, from.waiting.steps);
  add(to.waiting.idle, from.waiting.idle);
}

TEST_P(EmbeddingRows, SayHowLongTheyWereIdle) {
  Communicator& comm = test_group().world();
  const auto on_device = device_communicator(ctx, comm);
  EmbeddingCollection collection(ctx, comm, {{.name = "t", .dim = 2}}, 1, on_device.get());
  std::vector<int64_t> mine;
  for (int64_t id = 0; mine.size() < 4; ++id)
    if (owner_of(bucket_of(id), comm.size()) == comm.rank()) mine.push_back(id);
  collection.load_rows(0, {{mine[3]}, {1, 2}, {5}, {0}});
  collection.load_rows(0, {{mine[0], mine[1]}, {1, 2, 3, 4}, {5, 6}, {0, 200}});
  collection.load_rows(0, {{mine[2]}, {1, 2}, {5}});
  for (size_t i = 0; i < 4; ++i) {
    const TableRows rows = collection.bucket_rows(0, bucket_of(mine[i]));
    const auto at = std::find(rows.ids.begin(), rows.ids.end(), mine[i]) - rows.ids.begin();
    EXPECT_EQ(rows.idle.at(static_cast<size_t>(at)), i == 1 ? 200 : 0) << mine[i];
  }
}

// 5 steps, saved, loaded on another number of ranks, 5 more: the same as 10 steps. Both ways.
TEST_P(EmbeddingRows, ContinueOnAnotherNumberOfRanks) {
  Communicator& comm = test_group().world();
  const auto self = make_self_communicator();
  for (const auto optimizer : {SparseOptimizer::adam, SparseOptimizer::rowwise_adagrad}) {
    if (optimizer != SparseOptimizer::adam && ctx.device() != Device{})
      continue;  // the emulator takes its time
    const auto tables = test_tables_that_wait(optimizer);
    StepTrainer many(ctx, comm, tables, 9), one(ctx, *self, tables, 9), many_resumed(ctx, comm, tables, 9),
        one_resumed(ctx, *self, tables, 9);
    constexpr int64_t leaves = 1;  // one leaf: the same bits on any number of ranks
    const int64_t half = ctx.device() == Device{} ? 5 : 2;
    for (int64_t step = 0; step < half; ++step) {
      many.run_step(make_batch(3, step, leaves), step);
      one.run_step(make_batch(3, step, leaves), step);
    }
    int64_t waited = 0;
    for (int64_t t = 0; t < 4; ++t) {
      EXPECT_EQ(many.collection().state_width(t),
                optimizer == SparseOptimizer::adam ? 2 * tables[static_cast<size_t>(t)].dim + 1 : 1);
      TableRows of_all, mine;
      for (int64_t bucket = 0; bucket < virtual_buckets; ++bucket) {
        append(of_all, shared_bucket(comm, many.collection(), t, bucket));
        if (owner_of(bucket, comm.size()) == comm.rank())
          append(mine, one.collection().bucket_rows(t, bucket));
        waited += static_cast<int64_t>(of_all.waiting.ids.size());
        if (bucket % 300 != 0 && bucket + 1 != virtual_buckets)
          continue;  // some at a time, as checkpoints are read
        one_resumed.collection().load_rows(t, std::exchange(of_all, {}));
        many_resumed.collection().load_rows(t, std::exchange(mine, {}));
      }
    }
    EXPECT_GT(waited, 0);
    for (int64_t step = half; step < 2 * half; ++step) {
      const Batch batch = make_batch(3, step, leaves);
      const double expected = one.run_step(batch, step);
      EXPECT_EQ(many.run_step(batch, step), expected);
      EXPECT_EQ(one_resumed.run_step(batch, step), expected);
      EXPECT_EQ(many_resumed.run_step(batch, step), expected);
    }
    expect_same_rows(many_resumed.collection(), comm, one.collection());
    expect_same_rows(one_resumed.collection(), *self, one.collection());
  }
}

// Rows of f32 into a table in bf16 are rounded to nearest; what comes out is what is looked up, and goes in
// again exactly, into either type.
TEST_P(EmbeddingRows, ChangeTheirTypeWhenTheyAreLoaded) {
  Communicator& comm = test_group().world();
  const auto on_device = device_communicator(ctx, comm);
  const auto of_type = [&](DType type) {
    return std::make_unique<EmbeddingCollection>(
        ctx, comm, std::vector<TableConfig>{{.name = "t", .dim = 5, .type = type}}, 1, on_device.get());
  };
  int64_t mine = 0, unseen = 0;
  while (owner_of(bucket_of(mine), comm.size()) != comm.rank()) ++mine;
  for (unseen = mine + 1; owner_of(bucket_of(unseen), comm.size()) != comm.rank();) ++unseen;
  const std::vector<float> values{1, 1 + 0x1p-8f, 1 + 3 * 0x1p-8f, -1 - 0x1.8p-8f, 1e-30f};
  const auto half = of_type(DType::bf16), again = of_type(DType::bf16), exact = of_type(DType::f32);
  half->load_rows(0, {{mine}, values, {3}, {7}});
  const TableRows out = half->bucket_rows(0, bucket_of(mine));
  EXPECT_EQ(out.values, (std::vector<float>{1, 1, 1 + 4 * 0x1p-8f, -1 - 0x1p-7f, to_float(to_bf16(1e-30f))}));
  EXPECT_EQ(out.state, std::vector<float>{3});
  EXPECT_EQ(out.idle, std::vector<uint8_t>{7});
  again->load_rows(0, out);
  exact->load_rows(0, out);
  EXPECT_EQ(again->bucket_rows(0, bucket_of(mine)).values, out.values);
  EXPECT_EQ(exact->bucket_rows(0, bucket_of(mine)).values, out.values);

  const std::vector<int64_t> ids{mine, unseen, -1}, offsets{0, 3};
  std::vector<std::vector<float>> seen;
  for (auto* collection : {half.get(), exact.get()}) {
    const auto lookup =
        collection->begin_lookup({{{0, Pooling::sum, ids, {}}, {0, Pooling::mean, ids, offsets}}}, false);
    collection->finish_lookup(*lookup);
    const Tensor single(ctx.device(), DType::f32, 3, 5), pooled(ctx.device(), DType::f32, 1, 5);
    collection->gather(ctx, *lookup, 0, 0, single);
    collection->gather(ctx, *lookup, 0, 1, pooled);
    seen.push_back(to_host<float>(ctx, single.view()));
    seen.push_back(to_host<float>(ctx, pooled.view()));
  }
  for (size_t c = 0; c < 5; ++c) {
    EXPECT_EQ(seen[0][c], out.values[c]);
    EXPECT_EQ(seen[0][5 + c], to_float(to_bf16(seen[2][5 + c]))) << "an unseen id, to nearest";
    EXPECT_EQ(seen[0][10 + c], 0);
    EXPECT_EQ(seen[1][c], (seen[0][c] + seen[0][5 + c]) * 0.5f);
  }
}

TEST_P(EmbeddingRows, AreSortedById) {
  const auto self = make_self_communicator();
  StepTrainer trainer(ctx, *self, test_tables(SparseOptimizer::sgd), 9);
  for (int64_t step = 0; step < (ctx.device() == Device{} ? 20 : 2); ++step)
    trainer.run_step(make_batch(3, step, 2), step);
  int64_t rows = 0;
  for (int64_t bucket = 0; bucket < virtual_buckets; ++bucket) {
    const TableRows of_bucket = trainer.collection().bucket_rows(0, bucket);
    EXPECT_TRUE(std::is_sorted(of_bucket.ids.begin(), of_bucket.ids.end()));
    for (const int64_t id : of_bucket.ids) EXPECT_EQ(bucket_of(id), bucket);
    rows += static_cast<int64_t>(of_bucket.ids.size());
  }
  EXPECT_EQ(rows, trainer.collection().rows(0));
}

TEST_P(EmbeddingRows, RefusesRowsThatCannotBe) {
  Communicator& comm = test_group().world();
  const auto on_device = device_communicator(ctx, comm);
  EmbeddingCollection collection(ctx, comm, {{.name = "t", .dim = 2, .capacity = 1000}}, 1, on_device.get());
  int64_t mine = 0;
  while (owner_of(bucket_of(mine), comm.size()) != comm.rank()) ++mine;
  collection.load_rows(0, {{mine}, {1, 2}, {3}});
  EXPECT_EQ(collection.rows(0), 1);
  EXPECT_EQ(collection.bucket_rows(0, bucket_of(mine)).values, (std::vector<float>{1, 2}));
  EXPECT_THROW(collection.load_rows(0, {{mine}, {1, 2}, {3}}), Error) << "there already";
  EXPECT_THROW(collection.load_rows(0, {{mine}, {1}, {3}}), Error) << "a value too few";
  EXPECT_THROW(collection.load_rows(0, {{mine}, {1, 2}, {3}, {1, 0}}), Error) << "an idle count too many";
  EXPECT_THROW(collection.load_rows(1, {}), Error) << "no such table";
  EXPECT_THROW(collection.load_rows(0, {{-1}, {1, 2}, {3}}), Error);
  int64_t large = 1000;  // beyond the capacity
  while (owner_of(bucket_of(large), comm.size()) != comm.rank()) ++large;
  EXPECT_THROW(collection.load_rows(0, {{large}, {1, 2}, {3}}), Error);
  if (comm.size() == 1) return;
  int64_t other = 0;
  while (owner_of(bucket_of(other), comm.size()) == comm.rank()) ++other;
  EXPECT_THROW(collection.load_rows(0, {{other}, {1, 2}, {3}}), Error) << "owned elsewhere";
}

TEST(EmbeddingBuckets, HaveOneOwnerEach) {
  for (int ranks = 1; ranks <= 9; ++ranks) {
    int before = 0;
    for (int64_t bucket = 0; bucket < virtual_buckets; ++bucket) {
      const int owner = owner_of(bucket, ranks);
      EXPECT_TRUE(owner == before || owner == before + 1);
      before = owner;
      EXPECT_TRUE(first_bucket_of(owner, ranks) <= bucket && bucket < first_bucket_of(owner + 1, ranks));
    }
    EXPECT_EQ(before, ranks - 1);
  }
}

}  // namespace
}  // namespace lime
