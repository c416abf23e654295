// What cannot be is refused before anything is sent.
#include <gtest/gtest.h>

#include <limits>

#include "embeddings/embedding_collection.h"
#include "tests/embeddings/sparse_steps.h"
#include "tests/support/device_support.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

using EmbeddingMisuse = TablesTest;
INSTANTIATE_TEST_SUITE_P(Devices, EmbeddingMisuse, testing::ValuesIn(test_devices()), device_name);

TEST_P(EmbeddingMisuse, TablesThatCannotBe) {
  const auto self = make_self_communicator();
  const auto make = [&](std::vector<TableConfig> tables) {
    EmbeddingCollection(ctx, *self, std::move(tables), 1);
  };
  EXPECT_THROW(make({{.name = "a"}, {.name = "a"}}), UserError);
  EXPECT_THROW(make({{.name = "a", .dim = 0}}), UserError);
  EXPECT_THROW(make({{.name = "a", .capacity = -1}}), UserError);
  EXPECT_THROW(make({{.name = "a", .init_std = -1}}), UserError);
  EXPECT_NO_THROW(make({}));
  EXPECT_EQ(user_error([&] { make({{.name = "ids", .dim = -3}}); }),
            "embedding table 'ids': dim is -3, expected at least 1");
}

TEST_P(EmbeddingMisuse, CallsOutOfTurnAndWrongShapes) {
  const auto self = make_self_communicator();
  EmbeddingCollection collection(ctx, *self, {{.name = "a", .dim = 4}}, 1);
  const Tensor one_tensor = device_scalar(ctx, 1);
  const View one = one_tensor;
  const std::vector<int64_t> ids{1, 2, 3}, offsets{0, 2, 3}, bad_end{0, 2}, decreasing{0, 3, 1, 3};
  const auto begin = [&](int64_t table, std::span<const int64_t> at, bool insert = true) {
    return collection.begin_lookup({{{table, Pooling::sum, ids, at}}}, insert);
  };
  EXPECT_THROW(begin(1, {}), Error);
  EXPECT_THROW(begin(0, bad_end), Error);
  EXPECT_THROW(begin(0, decreasing), Error);
  const auto lookup = begin(0, offsets);
  EXPECT_THROW(collection.gather(ctx, *lookup, 0, 0, ctx.alloc(2, 4)), Error) << "not finished";
  EXPECT_THROW(collection.reduce(*lookup, 0, 1), Error);
  collection.finish_lookup(*lookup);
  EXPECT_THROW(collection.finish_lookup(*lookup), Error);
  EXPECT_THROW(collection.gather(ctx, *lookup, 0, 0, ctx.alloc(3, 4)), Error) << "rows";
  EXPECT_THROW(collection.gather(ctx, *lookup, 0, 0, ctx.alloc(2, 5)), Error) << "columns";
  EXPECT_THROW(collection.gather(ctx, *lookup, 1, 0, ctx.alloc(2, 4)), Error);
  EXPECT_THROW(collection.gather(ctx, *lookup, 0, 1, ctx.alloc(2, 4)), Error);
  EXPECT_THROW(collection.update(*lookup, one, 1, 0), Error) << "not reduced";
  EXPECT_THROW(collection.reduce(*lookup, 1, 2), Error) << "not this rank's leaf";
  collection.reduce(*lookup, 0, 1);
  EXPECT_THROW(collection.gradient_sum_of_squares(*lookup, ctx.alloc(1, 1)), Error) << "f32";
  EXPECT_THROW(collection.add_gradient(ctx, *lookup, 0, 0, ctx.zeros(2, 4)), Error) << "reduced already";
  collection.update(*lookup, one, 1, 0);
  EXPECT_THROW(collection.update(*lookup, one, 1, 0), Error) << "twice";
  EXPECT_THROW(collection.gather(ctx, *lookup, 0, 0, ctx.alloc(2, 4)), Error) << "rows have changed";

  const auto looking = begin(0, offsets, /*insert=*/false);
  collection.finish_lookup(*looking);
  EXPECT_THROW(collection.add_gradient(ctx, *looking, 0, 0, ctx.zeros(2, 4)), Error);
  EXPECT_THROW(collection.reduce(*looking, 0, 1), Error);
}

// A norm that is infinite or not a number stops the trainer a step later: until then nothing may be spoilt.
TEST_P(EmbeddingMisuse, AGradientScaleThatIsNotFiniteChangesNothing) {
  const auto self = make_self_communicator();
  StepTrainer trainer(ctx, *self, test_tables(SparseOptimizer::adam), 1),
      undisturbed(ctx, *self, test_tables(SparseOptimizer::adam), 1);
  trainer.run_step(make_batch(1, 0, 1), 0);
  undisturbed.run_step(make_batch(1, 0, 1), 0);
  for (const double scale :
       {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    const Batch batch = make_batch(1, 1, 1);
    const auto lookup = trainer.begin(batch);
    trainer.collection().finish_lookup(*lookup);
    trainer.compute(batch, *lookup, 1);
    trainer.collection().reduce(*lookup, 0, 1);
    trainer.collection().update(*lookup, device_scalar(ctx, scale).view(), 1, 1);
  }
  expect_same_rows(trainer.collection(), *self, undisturbed.collection());
}

TEST_P(EmbeddingMisuse, TablesTakeMemoryOfTheirDeviceAlone) {
  const auto self = make_self_communicator();
  Context host;
  EmbeddingCollection collection(ctx, *self, {{.name = "a", .dim = 4}}, 1);
  const std::vector<int64_t> ids{1, 2};
  const auto lookup = collection.begin_lookup({{{0, Pooling::sum, ids, {}}}}, true);
  collection.finish_lookup(*lookup);
  EXPECT_NO_THROW(collection.gather(ctx, *lookup, 0, 0, ctx.alloc(2, 4)));
  EXPECT_NO_THROW(collection.add_gradient(ctx, *lookup, 0, 0, ctx.zeros(2, 4)));
  if (ctx.device() == Device{}) return;
  EXPECT_THROW(collection.gather(ctx, *lookup, 0, 0, host.alloc(2, 4)), Error);
  EXPECT_THROW(collection.add_gradient(ctx, *lookup, 0, 0, host.zeros(2, 4)), Error);
  EXPECT_THROW(collection.read({0, Pooling::sum, ids, {}}, host.alloc(2, 4)), Error);
}

}  // namespace
}  // namespace lime
