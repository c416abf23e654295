// Tables whose ids wait for a row (TableConfig::admit_after): when one comes, what is counted and what is
// not, and what an id reads and does until then.
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "parallel/tree_sum.h"
#include "tests/embeddings/sparse_steps.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

constexpr int64_t dim = 6;

class EmbeddingAdmission : public TablesTest {
 protected:
  // A table "t" whose steps change a row by minus the sum of its gradients.
  EmbeddingCollection make(int64_t admit_after, DType type = DType::f32, int64_t capacity = 0) {
    return {ctx,
            comm,
            {{.name = "t",
              .dim = dim,
              .type = type,
              .capacity = capacity,
              .optimizer = SparseOptimizer::sgd,
              .learning_rate = 1,
              .admit_after = admit_after}},
            4,
            on_device.get()};
  }
  // A step whose `leaves` micro-batches all have these ids, with gradients of 1; returns the gradient's norm.
  double step(EmbeddingCollection& collection, const std::vector<int64_t>& ids, int64_t leaves = 4,
              double scale = 1) {
    const auto [first, last] = leaves_of(leaves, comm.rank(), comm.size());
    const std::vector<std::vector<FeatureIds>> features(static_cast<size_t>(last - first),
                                                        {{0, Pooling::sum, ids, {}}});
    const auto lookup = collection.begin_lookup(features, true);
    collection.finish_lookup(*lookup);
    const Tensor ones(ctx.device(), DType::f32, static_cast<int64_t>(ids.size()), dim);
    fill(ctx, ones, 1);
    for (int64_t m = 0; m < last - first; ++m) collection.add_gradient(ctx, *lookup, m, 0, ones.view());
    collection.reduce(*lookup, first, leaves);
    const double norm = sum_of_squares(ctx, collection, *lookup);
    collection.update(*lookup, device_scalar(ctx, scale).view(), 1, ++steps);
    return norm;
  }
  // What the ids read, as evaluation looks them up.
  std::vector<float> read(EmbeddingCollection& collection, const std::vector<int64_t>& ids) {
    const auto lookup = collection.begin_lookup({{{0, Pooling::sum, ids, {}}}}, false);
    collection.finish_lookup(*lookup);
    const Tensor rows(ctx.device(), DType::f32, static_cast<int64_t>(ids.size()), dim);
    collection.gather(ctx, *lookup, 0, 0, rows);
    return to_host<float>(ctx, rows.view());
  }
  int64_t sum(int64_t mine) {
    int64_t all = 0;
    for (const int64_t there : all_gather_values(comm, std::span(&mine, 1))) all += there;
    return all;
  }
  int64_t rows(const EmbeddingCollection& c) { return sum(c.rows(0)); }
  int64_t waiting(const EmbeddingCollection& c) { return sum(c.waiting(0)); }
  // The steps that an id waits for already; 0 if it does not wait.
  int64_t steps_of(const EmbeddingCollection& c, int64_t id) {
    const WaitingIds ids = c.bucket_rows(0, bucket_of(id)).waiting;
    const auto found = std::find(ids.ids.begin(), ids.ids.end(), id);
    return sum(found == ids.ids.end() ? 0 : ids.steps[static_cast<size_t>(found - ids.ids.begin())]);
  }

  Communicator& comm = test_group().world();
  std::unique_ptr<Communicator> on_device = device_communicator(ctx, comm);
  int64_t steps = 0;
};
INSTANTIATE_TEST_SUITE_P(Devices, EmbeddingAdmission, testing::ValuesIn(test_devices()), device_name);

// Three steps, whatever an id's occurrences, micro-batches and ranks. The third step's gradient moves the row
// away from what the id read all the time, and is all that is in the norm.
TEST_P(EmbeddingAdmission, AnIdGetsItsRowInExactlyThatStep) {
  for (const DType type : {DType::f32, DType::bf16}) {
    auto collection = make(3, type);
    const std::vector<int64_t> id{7}, often{7, -1, 7, 7};
    const auto begins_as = read(collection, id);
    EXPECT_EQ(step(collection, often), 0);
    EXPECT_EQ(rows(collection), 0);
    EXPECT_EQ(waiting(collection), 1);
    EXPECT_EQ(steps_of(collection, 7), 1);
    EXPECT_EQ(step(collection, {8, 9}), 0) << "a step without it";
    EXPECT_EQ(steps_of(collection, 7), 1);
    EXPECT_EQ(step(collection, id, 1), 0);
    EXPECT_EQ(steps_of(collection, 7), 2);
    EXPECT_EQ(read(collection, id), begins_as);
    EXPECT_EQ(step(collection, {7, 8, 7}), dim * 8 * 8) << "the other's gradient is dropped";
    EXPECT_EQ(rows(collection), 1);
    EXPECT_EQ(waiting(collection), 2);
    EXPECT_EQ(steps_of(collection, 7), 0);
    EXPECT_EQ(steps_of(collection, 8), 2);
    const auto after = read(collection, id);
    for (size_t c = 0; c < after.size(); ++c)
      EXPECT_NEAR(after[c], begins_as[c] - 8, type == DType::f32 ? 1e-6 : 0.04);
    EXPECT_EQ(step(collection, id), dim * 4 * 4);
    for (const float x : read(collection, id)) EXPECT_NEAR(x, begins_as[0] - 12, 0.5);
  }
}

TEST_P(EmbeddingAdmission, OnlyUpdatesWithAGradientCount) {
  auto collection = make(3);
  step(collection, {7});
  read(collection, {7, 8});
  for (const double scale :
       {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()})
    step(collection, {7, 9}, 4, scale);
  {  // a look-up that takes gradients, without one
    const std::vector<int64_t> ids{7, 10};
    const auto lookup = collection.begin_lookup({{{0, Pooling::sum, ids, {}}}}, true);
    collection.finish_lookup(*lookup);
    collection.reduce(*lookup, comm.rank(), comm.size());
    collection.update(*lookup, device_scalar(ctx, 1).view(), 1, ++steps);
  }
  EXPECT_EQ(steps_of(collection, 7), 1);
  EXPECT_EQ(waiting(collection), 1);
}

TEST_P(EmbeddingAdmission, WithACapacityRemaindersWait) {
  auto collection = make(2, DType::f32, 5);
  step(collection, {7, 9});
  EXPECT_EQ(waiting(collection), 2);
  EXPECT_EQ(steps_of(collection, 2), 1);
  EXPECT_EQ(step(collection, {12}), dim * 4 * 4) << "the same remainder";
  EXPECT_EQ(rows(collection), 1);
  step(collection, {0, 1, 3, 4, 14});
  EXPECT_EQ(rows(collection), 2);
  EXPECT_EQ(waiting(collection), 3);
}

// 255, the most; the emulator takes its time, and begins late.
TEST_P(EmbeddingAdmission, CountsAsFarAsItMay) {
  auto collection = make(255);
  int met = 0;
  if (ctx.device() != Device{}) {
    TableRows rows_there;
    rows_there.waiting = {{3}, {252}, {0}};
    if (owner_of(bucket_of(3), comm.size()) == comm.rank()) collection.load_rows(0, rows_there);
    met = 252;
  }
  for (; met < 254; ++met) ASSERT_EQ(step(collection, {3}, 1), 0);
  EXPECT_EQ(steps_of(collection, 3), 254);
  EXPECT_EQ(step(collection, {3}, 1), dim);
  EXPECT_EQ(rows(collection), 1);
}

// What waits takes a place in the index, which grows with it and forgets no count, and no row.
TEST_P(EmbeddingAdmission, TheIndexGrowsWithIdsThatWait) {
  auto collection = make(3);
  std::vector<int64_t> ids;
  for (int64_t i = 0; i < 20000; ++i) ids.push_back(i * 1000003 % (int64_t{1} << 44));
  const std::vector<int64_t> some(ids.begin(), ids.begin() + 5000), others(ids.begin() + 5000, ids.end());
  step(collection, some, 1);
  step(collection, some, 1);
  step(collection, others, 1);
  EXPECT_EQ(rows(collection), 0);
  EXPECT_EQ(waiting(collection), 20000);
  for (const int64_t id : {ids[0], ids[4999]}) EXPECT_EQ(steps_of(collection, id), 2);
  for (const int64_t id : {ids[5000], ids[19999]}) EXPECT_EQ(steps_of(collection, id), 1);
  if (ctx.device() == Device{}) {
    EXPECT_LE(collection.bytes(), 2 * 16 * 32768);
  }
  step(collection, ids, 1);
  EXPECT_EQ(rows(collection), 5000);
  EXPECT_EQ(waiting(collection), 15000);
  for (const int64_t id : {ids[0], ids[4999]}) EXPECT_EQ(steps_of(collection, id), 0);
  for (const int64_t id : {ids[5000], ids[19999]}) EXPECT_EQ(steps_of(collection, id), 2);
  step(collection, others, 1);
  EXPECT_EQ(rows(collection), 20000);
  EXPECT_EQ(waiting(collection), 0);
}

// Another look-up's update comes in between: counted is what updates did, in their order.
TEST_P(EmbeddingAdmission, TwoLookupsUnderWay) {
  const auto self = make_self_communicator();
  StepTrainer trainer(ctx, *self, {{.name = "t", .dim = dim, .admit_after = 2}}, 4);
  const Batch batch{{{0, Pooling::sum, {5, 6}, {}}}};
  const auto a = trainer.begin(batch), b = trainer.begin(batch);
  for (Lookup* lookup : {a.get(), b.get()}) {
    trainer.collection().finish_lookup(*lookup);
    trainer.compute(batch, *lookup, 0);
  }
  EXPECT_EQ(trainer.apply(batch, *a, 0), 0);
  EXPECT_EQ(trainer.collection().waiting(0), 2);
  EXPECT_GT(trainer.apply(batch, *b, 1), 0);
  EXPECT_EQ(trainer.collection().rows(0), 2);
  EXPECT_EQ(trainer.collection().waiting(0), 0);
}

// Against the reference: gathered rows, norms, and who waits.
TEST_P(EmbeddingAdmission, StepsAgreeWithTheReference) {
  auto tables = test_tables(SparseOptimizer::rowwise_adagrad);
  tables[0].admit_after = 3;
  tables[1].admit_after = 2;
  StepTrainer trainer(ctx, comm, tables, 5);
  ReferenceTables reference(tables, 5);
  for (int64_t number = 0; number < (ctx.device() == Device{} ? 8 : 4); ++number) {
    const Batch batch = make_batch(1, number, 4);
    const double norm =
        trainer.run_step(batch, number, [&](int64_t m, size_t f, const std::vector<double>& got) {
          const auto expected = reference.gather(batch[static_cast<size_t>(m)][f]);
          for (size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], expected[i], 2e-5) << "step " << number;
        });
    const double expected = reference.run_step(batch, number);
    EXPECT_NEAR(norm, expected, 1e-5 * expected);
  }
  for (size_t t = 0; t < tables.size(); ++t) {
    std::map<int64_t, int64_t> found;
    for (int64_t bucket = 0; bucket < virtual_buckets; ++bucket) {
      const TableRows of_bucket = trainer.collection().bucket_rows(static_cast<int64_t>(t), bucket);
      EXPECT_TRUE(std::is_sorted(of_bucket.waiting.ids.begin(), of_bucket.waiting.ids.end()));
      for (size_t i = 0; i < of_bucket.waiting.ids.size(); ++i)
        found[of_bucket.waiting.ids[i]] = of_bucket.waiting.steps[i];
      for (const int64_t id : of_bucket.ids) EXPECT_TRUE(reference.trained_rows(t).contains(id));
    }
    for (const auto& [id, met] : found) {
      ASSERT_TRUE(reference.waiting(t).contains(id)) << "table " << t << " id " << id;
      EXPECT_EQ(met, reference.waiting(t).at(id));
    }
    EXPECT_EQ(sum(static_cast<int64_t>(found.size())), static_cast<int64_t>(reference.waiting(t).size()));
    EXPECT_EQ(sum(trainer.collection().waiting(static_cast<int64_t>(t))),
              static_cast<int64_t>(reference.waiting(t).size()));
    EXPECT_EQ(sum(trainer.collection().rows(static_cast<int64_t>(t))),
              static_cast<int64_t>(reference.trained_rows(t).size()));
    if (t == 0) {
      EXPECT_FALSE(reference.waiting(t).empty());
    }
  }
}

// Counts of a checkpoint, under another admit_after than it was written with.
TEST_P(EmbeddingAdmission, CountsGoOnUnderAnotherNumber) {
  int64_t mine = 0;
  while (owner_of(bucket_of(mine), comm.size()) != comm.rank()) ++mine;
  std::vector<int64_t> everyones = all_gather_values(comm, std::span<const int64_t>(&mine, 1));
  TableRows rows_there;
  rows_there.waiting = {{mine}, {4}, {9}};
  for (const int64_t admit_after : {7, 5, 2, 1}) {
    auto collection = make(admit_after);
    collection.load_rows(0, rows_there);
    const TableRows out = collection.bucket_rows(0, bucket_of(mine));
    EXPECT_TRUE(out.ids.empty());
    EXPECT_EQ(out.waiting.ids, admit_after == 1 ? std::vector<int64_t>{} : std::vector<int64_t>{mine});
    if (admit_after > 1) {
      EXPECT_EQ(out.waiting.steps, std::vector<uint8_t>{4});
      EXPECT_EQ(out.waiting.idle, std::vector<uint8_t>{9});
    }
    int64_t more = 0;
    for (; rows(collection) == 0; ++more) step(collection, everyones);
    EXPECT_EQ(more, admit_after == 7 ? 3 : 1);
    EXPECT_EQ(rows(collection), comm.size());
  }
  // A step with the id makes it one that the latest run met.
  auto collection = make(9);
  collection.load_rows(0, rows_there);
  step(collection, everyones);
  EXPECT_EQ(collection.bucket_rows(0, bucket_of(mine)).waiting.idle, std::vector<uint8_t>{0});
}

TEST_P(EmbeddingAdmission, RefusesWhatCannotBe) {
  for (const int64_t admit_after : {0, 256})
    EXPECT_EQ(user_error([&] { make(admit_after); }),
              str("embedding table 't': admit_after is ", admit_after, ", expected 1..255"));
  int64_t mine = 0;
  while (owner_of(bucket_of(mine), comm.size()) != comm.rank()) ++mine;
  const auto load = [&](WaitingIds waiting, bool with_row = false) {
    auto collection = make(3);
    TableRows rows;
    if (with_row) rows = {{mine}, std::vector<float>(dim), {}};
    rows.waiting = std::move(waiting);
    collection.load_rows(0, rows);
    collection.load_rows(0, {});
    EXPECT_EQ(collection.waiting(0), 1);
  };
  load({{mine}, {2}, {0}});
  EXPECT_THROW(load({{mine}, {2}, {0}}, true), Error) << "it has a row";
  EXPECT_THROW(load({{mine, mine}, {2, 2}, {0, 0}}), Error) << "twice";
  EXPECT_THROW(load({{mine}, {0}, {0}}), Error);
  EXPECT_THROW(load({{mine}, {255}, {0}}), Error);
  EXPECT_THROW(load({{mine}, {}, {0}}), Error);
  EXPECT_THROW(load({{mine}, {2}, {}}), Error);
  EXPECT_THROW(load({{-1}, {2}, {0}}), Error);
}

}  // namespace
}  // namespace lime
