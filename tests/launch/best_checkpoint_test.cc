// Which evaluation is the best, what stays on the disk for it, and who reads it.
#include "launch/best_checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <functional>

#include "launch/metrics_log.h"
#include "model/best_record.h"
#include "model/checkpoint_files.h"
#include "model/run_choice.h"
#include "tests/launch/small_run.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

Config with_best(const std::string& name, const Overrides& more = {}) {
  Overrides overrides = more;
  overrides.emplace_back("train.best", name);
  return small_config("data", overrides);
}

TEST(BestMetric, IsAHistoryATaskAndAMetric) {
  EXPECT_FALSE(best_metric(with_best("")));
  const auto ne = best_metric(with_best("like.ne"));
  EXPECT_EQ(ne->history + "/" + ne->task + "/" + ne->metric, "running/like/ne");
  EXPECT_FALSE(ne->higher);
  for (const char* name :
       {"click.auc", "click.gauc", "click.r_auc", "click.mrr", "click.ndcg", "click.wt_auc"})
    EXPECT_TRUE(best_metric(with_best(name))->higher);
  const Overrides frozen{{"eval.history", "frozen"}}, both{{"eval.history", "both"}};
  EXPECT_EQ(best_metric(with_best("click.gauc", frozen))->history, "frozen");
  EXPECT_EQ(best_metric(with_best("click.gauc", both))->history, "running");
  EXPECT_EQ(best_metric(with_best("frozen.click.gauc", both))->history, "frozen");
}

TEST(BestMetric, WhatThereIsNotIsRefusedWithTheNearest) {
  const auto error = [](const std::string& name, const Overrides& more = {}) {
    return user_error([&] { best_metric(with_best(name, more)); });
  };
  EXPECT_THAT(error("clik.auc"), AllOf(HasSubstr("train.best: found 'clik.auc', expected one of click.auc, "),
                                       HasSubstr("(did you mean 'click.auc'?)")));
  EXPECT_THAT(error("like.acu"), HasSubstr("(did you mean 'like.auc'?)"));
  EXPECT_THAT(error("auc"), HasSubstr("expected one of click.auc"));
  EXPECT_THAT(error("click.calibration"), HasSubstr("expected one of"));
  EXPECT_THAT(error("frozen.click.auc"),
              AllOf(HasSubstr("eval.history (running)"), HasSubstr("running.click.auc")));
  EXPECT_THAT(error("click.wt_auc", {{"eval.watch_time", "\"\""}}), HasSubstr("needs eval.watch_time"));
}

TEST(BestMetric, ItsValueIsThatOfAllDays) {
  Metrics day, all;
  day.auc = 0.9, all.auc = 0.7, all.ne = 0.8;
  const std::vector<EvalResult> results{
      {"running", {{"click", {}, {}}, {"like", {}, {}}}},
      {"frozen", {{"click", {}, {}}, {"like", {{"2024-01-03", day}}, all}}}};
  const Overrides both{{"eval.history", "both"}};
  EXPECT_EQ(value_of(*best_metric(with_best("frozen.like.auc", both)), results), 0.7);
  EXPECT_EQ(value_of(*best_metric(with_best("frozen.like.ne", both)), results), 0.8);
  EXPECT_EQ(value_of(*best_metric(with_best("like.ne", both)), results), 0.0);
}

TEST(BestSoFar, TheEarlierOfEqualOnesAndNeverWhatIsNoNumber) {
  BestSoFar high(true), low(false);
  EXPECT_FALSE(high.add(10, NAN));
  EXPECT_FALSE(high.step());
  EXPECT_EQ(high.in_vain(), 1);
  EXPECT_TRUE(high.add(20, 0.5));
  EXPECT_EQ(high.in_vain(), 0);
  EXPECT_FALSE(high.add(30, 0.5));
  EXPECT_FALSE(high.add(40, 0.4));
  EXPECT_FALSE(high.add(50, NAN));
  EXPECT_EQ(high.in_vain(), 3);
  EXPECT_EQ(high.step(), 20);
  EXPECT_TRUE(high.add(60, 0.6));
  EXPECT_EQ(high.value(), 0.6);
  EXPECT_TRUE(low.add(10, 0.9));
  EXPECT_FALSE(low.add(20, INFINITY));
  EXPECT_FALSE(low.add(30, 0.95));
  EXPECT_TRUE(low.add(40, 0.85));
  // One whose checkpoint is lost is not the best, but patience does not end because of it.
  EXPECT_FALSE(low.add(50, 0.8, false));
  EXPECT_EQ(low.step(), 40);
  EXPECT_EQ(low.in_vain(), 0);
}

// A run's directory with evaluations and checkpoints by name only, over all ranks of the test.
class BestCheckpointTest : public testing::Test {
 protected:
  static Communicator& world() { return test_group().world(); }
  static bool root() { return test_group().rank() == 0; }
  static void on_root(const std::function<void()>& body) {
    world().barrier()->wait();
    if (root()) body();
    world().barrier()->wait();
  }
  static std::vector<EvalResult> result(double auc, const std::string& day = "2024-01-03") {
    if (!root()) return {};  // as an evaluation leaves them
    Metrics metrics;
    metrics.auc = auc;
    return {{"running", {{"click", {{day, metrics}}, metrics}}}};
  }
  // As a job left it: steps with their AUC, those with a checkpoint.
  void left(const std::vector<std::pair<int64_t, double>>& evaluations,
            const std::vector<int64_t>& checkpoints, const std::string& day = "2024-01-03") {
    on_root([&] {
      MetricsLog log(run(), 1000000);
      for (const auto& [step, auc] : evaluations) log.eval(step, result(auc, day));
      for (const int64_t step : checkpoints) make(step);
    });
  }
  void make(int64_t step) const {
    if (root()) fs::create_directories(checkpoint_directory(run(), checkpoint_name(step)));
  }
  BestCheckpoint best(const Config& config) { return {world(), config, run(), {"2024-01-03"}}; }
  std::string run() const { return directory_.path(); }
  std::optional<std::string> recorded() {
    world().barrier()->wait();
    const auto record = read_best(run());
    world().barrier()->wait();
    return record ? std::optional(record->checkpoint) : std::nullopt;
  }

  TempDirectory directory_{TempDirectory::Shared::yes};
  Config config_ = with_best("click.auc", {{"train.keep_checkpoints", "1"}, {"train.patience", "2"}});
};

TEST_F(BestCheckpointTest, StaysUntilABetterOneIsRecorded) {
  BestCheckpoint kept = best(config_);
  EXPECT_EQ(recorded(), std::nullopt);
  EXPECT_TRUE(kept.add(world(), 10, result(0.6)));
  EXPECT_EQ(kept.kept_step(), std::nullopt);  // it is not on the disk yet
  make(10);
  kept.keep(world());
  EXPECT_EQ(kept.kept_step(), 10);
  EXPECT_FALSE(kept.add(world(), 20, result(0.55)));
  EXPECT_EQ(kept.in_vain(), "1 evaluation without a better click.auc than that of step 10");
  EXPECT_TRUE(kept.add(world(), 30, result(0.7)));
  EXPECT_EQ(kept.kept_step(), 10);  // what a save of step 30 has to leave
  make(20), make(30);
  EXPECT_EQ(recorded(), "step-000000010");
  const std::string partial = best_path(run()) + ".partial";
  on_root([&] { fs::create_directory(partial); });
  EXPECT_THAT(user_error([&] { kept.keep(world()); }), HasSubstr("best.json"));
  EXPECT_EQ(recorded(), "step-000000010");
  EXPECT_THAT(list_checkpoints(run()), Contains("step-000000010"));  // what it names does not go before
  on_root([&] { fs::remove(partial); });
  kept.keep(world());
  EXPECT_EQ(recorded(), "step-000000030");
  EXPECT_THAT(list_checkpoints(run()), ElementsAre("step-000000030"));
  EXPECT_EQ(kept.describe(), "best click.auc: 0.700000 of step 30");
}

TEST_F(BestCheckpointTest, IsKnownToTheNextJob) {
  left({{10, 0.6}, {20, 0.7}, {30, 0.7}, {40, NAN}}, {20, 40});
  const BestCheckpoint again = best(config_);
  EXPECT_EQ(again.step(), 20);
  EXPECT_EQ(again.kept_step(), 20);
  EXPECT_EQ(again.evaluated_step(), 40);
  EXPECT_TRUE(again.patience_is_over());
  EXPECT_EQ(recorded(), "step-000000020");  // though the job before was killed before it wrote that
  world().barrier()->wait();
  const auto record = read_best(run());
  EXPECT_EQ(*record, (BestRecord{"step-000000020", "click.auc", "running", {"2024-01-03"}, 0.7}));
  // Switched off, there is none to be read.
  best(with_best(""));
  EXPECT_EQ(recorded(), std::nullopt);
}

TEST_F(BestCheckpointTest, WithoutACheckpointOrOfOtherDaysIsNone) {
  left({{10, 0.9}, {20, 0.8}, {30, 0.7}, {40, 0.75}}, {30, 40});
  const BestCheckpoint lost = best(config_);
  EXPECT_EQ(lost.step(), 40);
  EXPECT_FALSE(lost.patience_is_over());
  left({{50, 0.95}}, {50}, "2024-01-02");
  EXPECT_EQ(best(config_).step(), 40);
  EXPECT_EQ(best(config_).evaluated_step(), 40);
}

TEST_F(BestCheckpointTest, SaysThatItsMetricIsNotDefined) {
  BestCheckpoint kept = best(config_);
  EXPECT_FALSE(kept.add(world(), 10, result(std::nan(""))));
  EXPECT_EQ(kept.in_vain(), "1 evaluation without a better click.auc, which is not defined on these days");
  EXPECT_TRUE(kept.add(world(), 20, result(0.6)));
  EXPECT_FALSE(kept.add(world(), 30, result(0.5)));
  EXPECT_EQ(kept.in_vain(), "1 evaluation without a better click.auc than that of step 20");
}

TEST_F(BestCheckpointTest, AnEvaluationMadeAgainIsOne) {
  left({{10, 0.9}, {20, 0.8}, {20, 0.8}, {20, 0.8}}, {10, 20});
  EXPECT_EQ(best(config_).in_vain(), "1 evaluation without a better click.auc than that of step 10");
}

TEST_F(BestCheckpointTest, IsWhatReadersTakeUnlessTheyAskForAnother) {
  const Dataset dataset = shared_small_dataset(directory_.file("data"));
  SmallRun trained(world(), small_config(directory_.file("data")), dataset);
  trained.train(test_group(), dataset, 1);
  const std::string run = directory_.file("run");
  const auto save = [&](int64_t step, int64_t keep, std::optional<int64_t> best) {
    TrainState state = trained.state;
    state.step = step;
    save_checkpoint(world(), run, trained.config, trained.network, trained.adamw, state, keep, best);
    world().barrier()->wait();
  };
  const auto chosen = [&](const std::string& name) {
    return fs::path(choose_checkpoint(world(), {run, name, "", {}}).directory()).filename().string();
  };
  const auto error = [&](const std::string& name) {
    return user_error([&] { choose_checkpoint(world(), {run, name, "", {}}); });
  };
  save(10, 1, {});
  EXPECT_EQ(chosen(""), "step-000000010");
  EXPECT_THAT(error("best"), AllOf(HasSubstr("--checkpoint: found best"), HasSubstr("train.best")));
  for (const int64_t step : {20, 30, 40}) save(step, 2, 10);
  EXPECT_THAT(list_checkpoints(run), ElementsAre("step-000000040", "step-000000030", "step-000000010"));
  on_root([&] { write_best(run, {"step-000000010", "click.auc", "running", {"2024-01-03"}, 0.7}); });
  EXPECT_EQ(chosen(""), "step-000000010");
  EXPECT_EQ(chosen("best"), "step-000000010");
  EXPECT_EQ(chosen("newest"), "step-000000040");
  EXPECT_EQ(chosen("step-000000030"), "step-000000030");
  EXPECT_THAT(error("step-000000020"), HasSubstr("expected best, newest or one of"));
  // A damaged one is named, not passed over for other weights.
  on_root([&] { fs::resize_file(checkpoint_directory(run, "step-000000010") + "/dense.h5", 100); });
  EXPECT_THAT(error(""), AllOf(HasSubstr("step-000000010/dense.h5"), Not(HasSubstr("newest"))));
  EXPECT_EQ(chosen("newest"), "step-000000040");
  on_root([&] { fs::remove_all(checkpoint_directory(run, "step-000000010")); });
  EXPECT_THAT(error(""), AllOf(HasSubstr("best.json: found step-000000010"), HasSubstr("step-000000040")));
  for (const char* text : {"", "{}", "[]", "{\"checkpoint\": 3}",
                           R"({"checkpoint":"../x","metric":"a","history":"b","days":[],"value":1})"}) {
    on_root([&] { write_file(best_path(run), text); });
    EXPECT_THAT(error(""), HasSubstr("best.json: is damaged")) << text;
    EXPECT_EQ(chosen("newest"), "step-000000040");
  }
}

}  // namespace
}  // namespace lime
