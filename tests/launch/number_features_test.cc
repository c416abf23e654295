// Columns of numbers in whole runs: put in buckets when a run begins, and the same ones from then on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/config.h"
#include "tests/launch/program.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

// A shop's log of three days. Prices of items are 1, 10, 100 ... 100,000, and one has none; the delay of a
// request is from 0 to 9 on the first two days and from 1,000 on the third.
class NumberFeatures : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    temp_ = new TempDirectory;
    std::string log = "user,item,time,click,delay\n", items = "item,price\n", price = "1";
    for (int item = 0; item < 6; ++item, price += "0") items += str(item, ",", price, "\n");
    items += "6,\n";
    for (int row = 0; row < 360; ++row) {
      const int day = row / 120, user = row % 30, item = (row * 7 + row / 30) % 7;
      log += str(user, ",", item, ",2024-01-0", day + 1, "T", 10 + row % 120 / 30, ":", 10 + row % 30, ":00,",
                 (item + user) % 2, ",", row % 10 + (day == 2 ? 1000 : 0), "\n");
    }
    write_file(path("log.csv"), log);
    write_file(path("items.csv"), items);
    write_file(path("shop.yaml"),
               "impressions: {files: log.csv, user: user, item: item, time: {column: time, unit: iso8601},\n"
               "  labels: {click: click}, request_features: {delay: {kind: real}}}\n"
               "items: {files: items.csv, item: item, features: {price: {kind: real}}}\n");
    run(str("import csv --mapping ", path("shop.yaml"), " --out ", path("data")));
    write_file(path("config.yaml"),
               str("data: {path: ", path("data"), ", train: 2024-01-01..2024-01-02}\n",
                   "features: {history: [item, price, age], candidate: [item, price], user: [user, delay]}\n"
                   "model: {name: lime_xor, width: 16, heads: 2, links: 4, blocks: 1, head_hidden: 8}\n"
                   "tasks: [click]\n"
                   "embeddings: {dim: 8}\n"
                   "train: {batch_requests: 16, micro_batches: 4, max_steps: 4, log_every: 1}\n"));
    first_ = run(train("first", ""));
  }
  static void TearDownTestSuite() { delete temp_; }

  static std::string path(const std::string& name) { return temp_->file(name); }
  static std::string train(const std::string& name, const std::string& more) {
    return str("train ", path("config.yaml"), " --out ", path(name), " ", more);
  }
  static Outcome run(const std::string& arguments, int ranks = 1) {
    Outcome outcome = ranks == 1 ? lime_program(arguments) : lime_program_on(ranks, arguments);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    return outcome;
  }
  static std::map<std::string, NumberBuckets> buckets_of(const std::string& name) {
    return load_config(path(name) + "/config.yaml", {}).features.buckets;
  }
  static std::string digests(const std::string& name, int step = 4) {
    return checkpoint_digests(str(path(name), "/checkpoints/step-00000000", step));
  }

  static inline TempDirectory* temp_ = nullptr;
  static inline Outcome first_;
};

TEST_F(NumberFeatures, AreInBucketsOfTheTrainingDays) {
  const auto buckets = buckets_of("first");
  EXPECT_THAT(buckets.at("price").boundaries, ElementsAre(10, 100, 1000, 10000, 100000));
  EXPECT_THAT(buckets.at("delay").boundaries, ElementsAre(1, 2, 3, 4, 5, 6, 7, 8, 9));
  EXPECT_THAT(first_.err, HasSubstr("numbers in buckets: delay 10, price 6\n"));
  EXPECT_THAT(first_.err, HasSubstr("delay (10 rows)"));
  EXPECT_THAT(digests("first"), HasSubstr("price"));
}

TEST_F(NumberFeatures, AreTheSameOnAnyNumberOfRanksAndAfterAResume) {
  run(train("ranks", ""), 2);
  EXPECT_EQ(digests("ranks"), digests("first"));
  run(train("halfway", "--set train.max_steps=2"));
  run(str("train --resume ", path("halfway"), " --set train.max_steps=4"), 2);
  EXPECT_EQ(digests("halfway"), digests("first"));
  EXPECT_EQ(buckets_of("halfway"), buckets_of("first"));
}

TEST_F(NumberFeatures, AreAsTheUserSays) {
  const Outcome outcome =
      run(train("own", "--set features.buckets.price=[50.5,5e3] --set features.buckets.delay=0"));
  EXPECT_THAT(outcome.err, HasSubstr("numbers in buckets: price 3\n"));
  EXPECT_THAT(buckets_of("own").at("price").boundaries, ElementsAre(50.5, 5000));
  EXPECT_EQ(buckets_of("own").at("delay").count, 0);
  EXPECT_THAT(digests("own"), Not(HasSubstr("delay")));
  run(train("few", "--set features.buckets.price=2"));
  EXPECT_THAT(buckets_of("few").at("price").boundaries, ElementsAre(1000));
}

// What a row of the table stands for must not change with the days.
TEST_F(NumberFeatures, OfFirstWeightsAreKept) {
  const std::string day = " --set data.train=2024-01-03 --from ";
  run(train("next", day + path("first")));
  EXPECT_EQ(buckets_of("next"), buckets_of("first"));
  run(train("next_of_checkpoint", day + path("first") + "/checkpoints/step-000000004"));
  EXPECT_EQ(buckets_of("next_of_checkpoint"), buckets_of("first"));
  EXPECT_EQ(digests("next_of_checkpoint"), digests("next"));
  run(train("alone", "--set data.train=2024-01-03"));
  EXPECT_NE(buckets_of("alone"), buckets_of("first"));
  // First weights that know numbers alone.
  run(train("raw", "--set features.buckets.price=0 --set features.buckets.delay=0"));
  run(train("next_raw", day + path("raw")));
  EXPECT_EQ(buckets_of("next_raw"), buckets_of("raw"));
  // Of before there were buckets.
  std::string config = read_file(path("raw") + "/config.yaml");
  const std::string none = "  buckets:\n    delay: 0\n    price: 0\n";
  ASSERT_THAT(config, HasSubstr(none));
  write_file(path("raw") + "/config.yaml", config.erase(config.find(none), none.size()));
  run(train("next_old", day + path("raw")));
  EXPECT_EQ(digests("next_old"), digests("next_raw"));
  run(str("eval ", path("raw"), " --days 2024-01-03"));
  expect_mistake(train("other", day + path("first") + " --set features.buckets.price=[5]"),
                 "features.buckets.price");
  expect_mistake(train("other", day + path("first") + " --set features.buckets.price=3"),
                 "features.buckets.price");
  run(train("as_asked_before", day + path("first") + " --set features.buckets.delay=32"));
  EXPECT_EQ(buckets_of("as_asked_before"), buckets_of("first")) << "ten of at most 32";
}

// As launch/slurm_train.sbatch repeats its settings beside --resume.
TEST_F(NumberFeatures, TheSameSettingsAgainGoOn) {
  const std::string settings = " --set features.buckets.price=32 --set features.buckets.delay=[2,5]";
  run(train("again", settings + " --set train.max_steps=2"));
  const auto before = buckets_of("again");
  run(str("train --resume ", path("again"), settings, " --set train.max_steps=3"));
  EXPECT_EQ(buckets_of("again"), before);
  expect_mistake(str("train --resume ", path("again"), " --set features.buckets.price=0"),
                 "features.buckets.price");
  expect_mistake(str("train --resume ", path("again"), " --set features.buckets.delay=2"),
                 "features.buckets.delay");
}

TEST_F(NumberFeatures, AComparisonGoesOn) {
  const std::string compare =
      str("compare ", path("config.yaml"), " --models two_tower --latency '' --resamples 10 --out ",
          path("compare"), " --set data.eval=2024-01-03 --seeds ");
  run(compare + "1");
  EXPECT_THAT(run(compare + "1,2").err, HasSubstr("1 of 2 runs are there already"));
}

TEST_F(NumberFeatures, MistakesAreNamed) {
  expect_mistake(train("x", "--set features.buckets.prize=8"),
                 "no feature 'prize' is in use (did you mean 'price'?)");
  expect_mistake(train("x", "--set features.buckets.item=8"),
                 "features.buckets.item: 'item' has ids, expected a column of numbers");
  expect_mistake(
      train("x", "--set features.buckets.price=[3,2]"),
      "features.buckets.price: found [3, 2], expected an integer in 0..65536, or a list of rising numbers");
  expect_mistake(str("train --resume ", path("first"), " --set features.buckets.price=4"),
                 "features.buckets.price");
  run(str("predict ", path("first"), " --days 2024-01-03 --out ", path("scores.h5")));
}

}  // namespace
}  // namespace lime
