// What features are worth: differences of evaluations with and without them, the same for any number of
// ranks.
#include "launch/importance/importance.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>

#include "launch/evaluator.h"
#include "launch/importance/report.h"
#include "tests/launch/trained_small_run.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr int64_t resamples = 16;

class Importance : public TrainedSmallRun {
 protected:
  static std::vector<ShuffledSet> sets(const std::vector<std::string>& names, uint64_t seed = 1) {
    return shuffled_sets(run_->config, dataset_->schema(), names, seed);
  }
  static Scoring together() { return scoring_of(*run_); }
  static ImportanceResult measure(const Scoring& scoring, const std::vector<ShuffledSet>& shuffled) {
    ImportanceOptions options;
    options.resamples = resamples;
    return measure_importance(scoring, held_out, HistoryMode::running, shuffled, options);
  }
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
  EXPECT_THAT(names(sets({"user.hour", "history+candidate", "user.hour+user.user"})),
              ElementsAre("user.hour 1", "history+candidate 2", "user.hour+user.user 1"));
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
  // The same by hand: evaluations, whose rows are resampled side by side.
  struct Evaluated {
    EvalResult metrics;
    std::map<std::string, std::vector<ScoredRow>> rows;
  };
  const auto evaluated = [&](const std::vector<FeatureShuffle>* shuffles) {
    Scoring scoring = together();
    scoring.shuffles = shuffles;
    Evaluated found;
    found.metrics = evaluate(scoring, held_out, HistoryMode::running, {},
                             [&](const std::string& task, const auto& rows) { found.rows[task] = rows; });
    return found;
  };
  const Evaluated whole = evaluated(nullptr);
  std::map<std::string, Evaluated> shuffled;
  for (const auto& set : chosen) shuffled[set.name] = evaluated(&set.shuffles);
  if (test_group().rank() != 0) {
    EXPECT_TRUE(result.tasks.empty());
    return;
  }
  ASSERT_EQ(result.tasks.size(), 2u);
  for (size_t t = 0; t < 2; ++t) {
    const TaskImportance& task = result.tasks[t];
    const Metrics& as_they_are = whole.metrics.tasks[t].all;
    EXPECT_EQ(task.task, whole.metrics.tasks[t].task);
    EXPECT_EQ(task.whole.auc, as_they_are.auc);
    const auto users = distinct_users(whole.rows.at(task.task));
    EXPECT_EQ(task.users, static_cast<int64_t>(users.size()));
    ASSERT_EQ(task.sets.size(), chosen.size());
    std::set<double> losses;
    for (const auto& set : task.sets) {
      SCOPED_TRACE(str(task.task, ", ", set.name));
      const Evaluated& without = shuffled.at(set.name);
      std::vector<ResampledRows> rows;
      rows.emplace_back(whole.rows.at(task.task), users, false);
      rows.emplace_back(without.rows.at(task.task), users, false);
      const auto values = resample(rows, static_cast<int64_t>(users.size()), resamples, 1, 1);
      for (const MetricKind kind : {MetricKind::auc, MetricKind::ne}) {
        const double sign = kind == MetricKind::ne ? -1 : 1;
        std::vector<double> differences;
        for (size_t b = 0; b < values[0].size(); ++b)
          differences.push_back(
              sign * (values[0][b][static_cast<size_t>(kind)] - values[1][b][static_cast<size_t>(kind)]));
        const Estimate expected = estimate(
            sign * (value_of(as_they_are, kind) - value_of(without.metrics.tasks[t].all, kind)), differences);
        EXPECT_EQ(set.of(kind).value, expected.value);
        EXPECT_EQ(set.of(kind).low, expected.low);
        EXPECT_EQ(set.of(kind).high, expected.high);
      }
      losses.insert(set.of(MetricKind::ne).value);
    }
    EXPECT_EQ(losses.size(), chosen.size());
    EXPECT_FALSE(losses.contains(0));
    // Whole sides first, then by what they are worth.
    EXPECT_TRUE(task.sets[0].whole_side && task.sets[1].whole_side);
    EXPECT_GE(task.sets[0].of(MetricKind::auc).value, task.sets[1].of(MetricKind::auc).value);
    EXPECT_GE(task.sets[2].of(MetricKind::auc).value, task.sets[3].of(MetricKind::auc).value);
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
  Alone alone;
  EXPECT_EQ(to_json(all_ranks), to_json(measure(alone.scoring, chosen)));
  EXPECT_NE(to_json(all_ranks), to_json(measure(alone.scoring, sets({}, 2))));
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
