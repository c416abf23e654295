// What features are worth: differences of evaluations with and without them, the same for any number of
// ranks.
#include "launch/importance/importance.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "launch/evaluator.h"
#include "launch/importance/report.h"
#include "tests/launch/small_run.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const std::vector<std::string> held_out{"2024-01-02", "2024-01-03"};

class Importance : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    directory_ = new TempDirectory(TempDirectory::Shared::yes);
    dataset_ = new Dataset(shared_small_dataset(directory_->file("data")));
    run_ = new SmallRun(test_group().world(),
                        small_config(directory_->file("data"), {{"data.train", "2024-01-01"}}), *dataset_);
    run_->train(test_group(), *dataset_, 2);
    checkpoint_ = save_checkpoint(test_group().world(), directory_->file("run"), run_->config, run_->network,
                                  run_->adamw, run_->state, 1);
  }
  static void TearDownTestSuite() {
    delete run_;
    delete dataset_;
    delete directory_;
  }
  static std::vector<ShuffledSet> sets(const std::vector<std::string>& names, uint64_t seed = 1) {
    return shuffled_sets(run_->config, dataset_->schema(), names, seed);
  }
  static Scoring scoring_of(SmallRun& run, Communicator& comm) {
    return {comm, run.ctx, run.network, run.config, *dataset_};
  }
  static Scoring together() { return scoring_of(*run_, test_group().world()); }
  static ImportanceResult measure(const Scoring& scoring, const std::vector<ShuffledSet>& shuffled) {
    ImportanceOptions options;
    options.resamples = 16;
    return measure_importance(scoring, held_out, HistoryMode::running, shuffled, options);
  }

  static inline TempDirectory* directory_;
  static inline Dataset* dataset_;
  static inline SmallRun* run_;
  static inline std::string checkpoint_;
};

TEST_F(Importance, SetsAreSidesThenFeatures) {
  const auto names = [](const std::vector<ShuffledSet>& found) {
    std::vector<std::string> listed;
    for (const auto& set : found)
      listed.push_back(str(set.name, set.whole_side ? "*" : "", " ", set.shuffles.size()));
    return listed;
  };
  EXPECT_THAT(names(sets({})),
              ElementsAre("history* 1", "candidate* 1", "user* 1", "history.item 1", "history.topics 1",
                          "history.action 1", "history.age 1", "candidate.item 1", "candidate.topics 1",
                          "candidate.price 1", "user.user 1", "user.hour 1"));
  EXPECT_THAT(names(sets({"user.hour", "history+candidate.item", "user.hour+user.user"})),
              ElementsAre("user.hour 1", "history+candidate.item 2", "user.hour+user.user 1"));
  Config config = run_->config;
  config.data.max_history = 0;
  config.features.user = {"user"};
  EXPECT_THAT(
      names(shuffled_sets(config, dataset_->schema(), {}, 1)),
      ElementsAre("candidate* 1", "user* 1", "candidate.item 1", "candidate.topics 1", "candidate.price 1"));
  EXPECT_THAT(user_error([&] { sets({"user.hour+tab"}); }),
              HasSubstr("--features: found 'tab', expected history,"));
  EXPECT_THAT(user_error([&] { sets({"user.hours"}); }),
              HasSubstr("features.user has no 'hours' (nearest: 'hour')"));
  config.features.history.clear();
  EXPECT_THAT(user_error([&] { shuffled_sets(config, dataset_->schema(), {"history"}, 1); }),
              HasSubstr("--features: features.history is empty"));
}

TEST_F(Importance, IsWhatEvaluationLosesByTheShuffle) {
  const auto chosen = sets({"user.hour", "candidate", "history", "history+candidate.item"});
  const auto result = measure(together(), chosen);
  const EvalResult whole = evaluate(together(), held_out, HistoryMode::running);
  std::map<std::string, EvalResult> shuffled;
  for (const auto& set : chosen) {
    Scoring scoring = together();
    scoring.shuffles = &set.shuffles;
    shuffled[set.name] = evaluate(scoring, held_out, HistoryMode::running);
  }
  if (test_group().rank() != 0) {
    EXPECT_TRUE(result.tasks.empty());
    return;
  }
  ASSERT_EQ(result.tasks.size(), 2u);
  for (size_t t = 0; t < 2; ++t) {
    const TaskImportance& task = result.tasks[t];
    const Metrics& as_they_are = whole.tasks[t].all;
    EXPECT_EQ(task.task, whole.tasks[t].task);
    EXPECT_EQ(task.whole.auc, as_they_are.auc);
    EXPECT_GT(task.users, 10);
    ASSERT_EQ(task.sets.size(), chosen.size());
    EXPECT_TRUE(task.sets[0].whole_side && task.sets[1].whole_side);
    EXPECT_GE(task.sets[0].of(MetricKind::auc).value, task.sets[1].of(MetricKind::auc).value);
    EXPECT_GE(task.sets[2].of(MetricKind::auc).value, task.sets[3].of(MetricKind::auc).value);
    for (const auto& set : task.sets) {
      const Metrics& without = shuffled.at(set.name).tasks[t].all;
      EXPECT_EQ(set.of(MetricKind::auc).value, as_they_are.auc - without.auc) << set.name;
      EXPECT_EQ(set.of(MetricKind::ne).value, without.ne - as_they_are.ne) << set.name;
      EXPECT_NE(set.of(MetricKind::ne).value, 0) << set.name;
      for (const MetricKind kind : {MetricKind::auc, MetricKind::ne}) {
        EXPECT_LT(set.of(kind).low, set.of(kind).high);
        // Differences over the same users: far narrower than 16 resamples of one AUC, and about the value.
        EXPECT_LT(set.of(kind).low, set.of(kind).value + 0.1);
        EXPECT_GT(set.of(kind).high, set.of(kind).value - 0.1);
      }
    }
  }
}

// What the model does not read loses nothing, and is said to with certainty: intervals are of paired
// differences.
TEST_F(Importance, WhatIsNotReadIsWorthNothing) {
  const int64_t history = std::exchange(run_->config.data.max_history, 0);
  const auto result = measure(together(), sets({"history", "history.item"}));
  run_->config.data.max_history = history;
  for (const auto& task : result.tasks)
    for (const auto& set : task.sets)
      for (const MetricKind kind : {MetricKind::auc, MetricKind::gauc, MetricKind::ne})
        for (const double x : {set.of(kind).value, set.of(kind).low, set.of(kind).high})
          EXPECT_EQ(x, 0) << set.name;
}

TEST_F(Importance, IsTheSameForAnyNumberOfRanks) {
  const auto chosen = sets({});
  const auto all_ranks = measure(together(), chosen);
  if (test_group().rank() != 0) return;
  const auto comm = make_self_communicator();
  SmallRun alone(*comm, run_->config, *dataset_);
  load(*comm, checkpoint_, alone);
  EXPECT_EQ(to_json(all_ranks), to_json(measure(scoring_of(alone, *comm), chosen)));
  EXPECT_NE(to_json(all_ranks), to_json(measure(scoring_of(alone, *comm), sets({}, 2))));
}

TEST_F(Importance, SaysWhichPassBeginsAndEnds) {
  std::vector<std::string> said;
  ImportanceOptions options;
  options.resamples = 0;
  options.begin = [&](const std::string& name, size_t number, size_t passes) {
    said.push_back(str("begin ", number, "/", passes, " ", name));
    return ScoringProgress();
  };
  double auc = 0, loss = 0;
  options.end = [&](const std::string& name, size_t number, size_t, double its_auc, double its_loss) {
    said.push_back(str("end ", number, " ", name));
    EXPECT_EQ(std::isnan(its_loss), number == 0);
    auc = its_auc, loss = its_loss;
  };
  const auto result =
      measure_importance(together(), held_out, HistoryMode::running, sets({"user.hour"}), options);
  if (test_group().rank() != 0) {
    EXPECT_THAT(said, ElementsAre("begin 0/2 as they are", "begin 1/2 user.hour"));
    return;
  }
  EXPECT_THAT(said, ElementsAre("begin 0/2 as they are", "end 0 as they are", "begin 1/2 user.hour",
                                "end 1 user.hour"));
  const TaskImportance& task = result.tasks.front();
  EXPECT_EQ(loss, task.sets.front().of(MetricKind::auc).value);
  EXPECT_EQ(auc, task.whole.auc - loss);
  EXPECT_TRUE(std::isnan(task.sets.front().of(MetricKind::auc).low));  // no resamples
}

}  // namespace
}  // namespace lime
