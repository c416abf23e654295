// Whole runs with histories cut along time over ranks (train.context_parallel).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/launch/train_runs.h"

namespace lime {
namespace {

using testing::HasSubstr;

std::string parts(int count) { return str(" --set train.context_parallel=", count); }

TEST_F(Train, HistoriesInPartsTheSameBitsOnAnyRanksAndOverResumes) {
  for (const std::string model : {"lime_xor", "lime_mha"}) {
    SCOPED_TRACE(model);
    const std::string of_model = " --set model.name=" + model;
    train(2, model + "_2", "train.max_steps=12" + of_model + parts(2));
    const std::string two = digests(model + "_2", 12);
    train(8, model + "_8", "train.max_steps=12" + of_model + parts(2));
    EXPECT_EQ(two, digests(model + "_8", 12));
    train(2, model + "_on", "train.max_steps=5" + of_model + parts(2));
    resume(4, model + "_on", "train.max_steps=8");
    resume(2, model + "_on", "train.max_steps=12");
    EXPECT_EQ(two, digests(model + "_on", 12));

    train(4, model + "_4", "train.max_steps=12" + of_model + parts(4));
    train(16, model + "_16", "train.max_steps=12" + of_model + parts(4));
    EXPECT_EQ(digests(model + "_4", 12), digests(model + "_16", 12));

    // The same steps as over whole histories.
    train(1, model, "train.max_steps=12" + of_model);
    const auto whole = metrics(model);
    for (const auto& run : {model + "_2", model + "_16"}) {
      EXPECT_NE(digests(model, 12), digests(run, 12));  // sums in another order
      EXPECT_LT(relative_difference(model, run, 12), 1e-5);
      const auto lines = metrics(run);
      ASSERT_EQ(lines.size(), whole.size());
      for (size_t i = 0; i < lines.size(); ++i) {
        for (const char* count : {"requests", "history_tokens", "candidates"})
          EXPECT_EQ(lines[i].at(count), whole[i].at(count)) << count;
        EXPECT_NEAR(lines[i].at("loss").get<double>(), whole[i].at("loss").get<double>(), 1e-5);
        EXPECT_NEAR(lines[i].at("ne").get<double>(), whole[i].at("ne").get<double>(), 1e-5);
      }
    }
  }
}

// One request a step, of which every rank has a part; then evaluation, on more ranks than it has micro-batches.
TEST_F(Train, OneRequestAtATimeOnFourRanks) {
  const std::string one_by_one =
      "train.max_steps=6 --set train.batch_requests=1 --set train.micro_batches=1 --set data.eval=2024-01-03";
  train(1, "by_one", one_by_one);
  train(4, "by_four", one_by_one + parts(4));
  EXPECT_LT(relative_difference("by_one", "by_four", 6), 1e-5);
  const auto one = metrics("by_one").back(), four = metrics("by_four").back();
  EXPECT_EQ(one.at("kind"), "eval");
  EXPECT_EQ(one.at("kind"), four.at("kind"));
}

TEST_F(Train, ARunGoesOnWithOtherParts) {
  train(2, "changes", "train.max_steps=6" + parts(2));
  resume(1, "changes", "train.max_steps=9 --set train.context_parallel=1");
  resume(4, "changes", "train.max_steps=12 --set train.context_parallel=4");
  train(1, "stays", "train.max_steps=12");
  EXPECT_LT(relative_difference("stays", "changes", 12), 1e-5);
}

TEST_F(Train, TheEndOfTheDataWithPartsThatRunDry) {
  const std::string data =
      str("data.path=", few_users(), " --set train.micro_batches=4 --set train.batch_requests=8 --set train.epochs=2");
  train(1, "dry_1", data);
  const auto whole = metrics("dry_1");
  const int steps = whole.back().at("step").get<int>();
  for (const int ranks : {2, 8}) {
    const std::string run = str("dry_", ranks, "_ranks");
    train(ranks, run, data + parts(2));
    EXPECT_EQ(metrics(run).size(), whole.size());
    EXPECT_LT(relative_difference("dry_1", run, steps), 1e-4);
  }
  EXPECT_EQ(digests("dry_2_ranks", steps), digests("dry_8_ranks", steps));
}

TEST_F(Train, PartsThatRanksCannotHave) {
  const auto says = [](int ranks, const std::string& settings) {
    const Outcome outcome = lime_program_on(ranks, train_command("refused", settings));
    EXPECT_EQ(outcome.exit_code, 2);
    return outcome.err;
  };
  EXPECT_THAT(says(3, "train.context_parallel=2"),
              HasSubstr("train.context_parallel: found 2, expected a divisor of the number of ranks, 3\n"));
  EXPECT_THAT(says(4, "train.context_parallel=2 --set train.micro_batches=1"),
              HasSubstr("train.micro_batches: found 1, expected at least 2, the number of ranks by "
                        "train.context_parallel\n"));
}

}  // namespace
}  // namespace lime
