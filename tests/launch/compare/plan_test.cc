// What a comparison refuses before the first run starts, and what it makes of the rest.
#include "launch/compare/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "model/run_choice.h"
#include "runtime/error.h"
#include "tests/launch/small_run.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class Plan : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    temp_ = new TempDirectory;
    write_small_dataset(temp_->file("data"));
    Config config = small_config(temp_->file("data"));
    config.data.eval = "2024-01-03";
    write_file(temp_->file("config.yaml"), to_yaml(config));
  }
  static void TearDownTestSuite() {
    delete temp_;
    temp_ = nullptr;
  }
  Plan() {
    request_.config = temp_->file("config.yaml");
    request_.entries = {"two_tower", "short=lime_xor"};
    request_.seeds = {3, 1};
    request_.baseline = "short";
    request_.settings = {{"train.epochs", "2"}};
    request_.settings_for["short"] = {{"model.links", "3"}};
    request_.out = out_.file("compare");
  }
  void expect_refusal(const std::string& says) {
    EXPECT_THAT(user_error([&] { plan_comparison(request_); }),
                testing::AllOf(HasSubstr(says), testing::Not(HasSubstr("\n"))));
  }

  static TempDirectory* temp_;
  TempDirectory out_;
  ComparisonRequest request_;
};

TempDirectory* Plan::temp_ = nullptr;

TEST_F(Plan, HasEveryEntryWithEverySeed) {
  const ComparisonPlan plan = plan_comparison(request_);
  ASSERT_EQ(plan.runs.size(), 4u);
  EXPECT_EQ(plan.baseline, 1u);
  EXPECT_EQ(plan.runs[0].name, "two_tower-3");
  EXPECT_EQ(plan.runs[1].name, "short-3");
  const ComparisonRun& run = plan.run(1, 1);
  EXPECT_EQ(run.name, "short-1");
  EXPECT_EQ(run.directory, request_.out + "/runs/short-1");
  EXPECT_EQ(run.config.model.name, "lime_xor");
  EXPECT_EQ(run.config.model.links, 3);
  EXPECT_EQ(run.config.seed, 1u);
  EXPECT_EQ(run.config.train.epochs, 2);
  EXPECT_EQ(plan.run(0, 0).config.model.name, "two_tower");
  EXPECT_NE(plan.run(0, 0).config.model.links, 3);
  EXPECT_FALSE(is_complete(run));
  request_.baseline = "";
  EXPECT_EQ(plan_comparison(request_).baseline, 0u);
}

TEST_F(Plan, RefusesEntriesThatMakeNoSense) {
  request_.entries = {"lime_zor"};
  expect_refusal("--models: found 'lime_zor', expected ");
  request_.entries = {"a/b=hstu"};
  expect_refusal("--models: found 'a/b=hstu'");
  request_.entries = {"=hstu"};
  expect_refusal("--models: found '=hstu'");
  request_.entries = {"hstu", "hstu"};
  expect_refusal("--models: found hstu twice");
  request_.entries = {};
  expect_refusal("--models: found an empty list");
}

TEST_F(Plan, RefusesSeedsBaselinesAndSettingsThatMakeNoSense) {
  request_.seeds = {};
  expect_refusal("--seeds: found an empty list");
  request_.seeds = {1, 2, 1};
  expect_refusal("--seeds: found 1 twice");
  request_.seeds = {1};
  request_.baseline = "hstu";
  expect_refusal("--baseline: found 'hstu', expected one of --models: two_tower, short");
  request_.baseline = "";
  request_.settings_for["hstu"] = {{"model.links", "3"}};
  expect_refusal("--set-for: found 'hstu', expected one of --models: two_tower, short");
  request_.settings_for = {{"short", {{"model.linx", "3"}}}};
  expect_refusal("unknown key 'model.linx'");
}

TEST_F(Plan, RefusesEntriesThatAreMeasuredDifferently) {
  request_.settings_for["short"] = {{"data.eval", "2024-01-02"}, {"data.train", "2024-01-01"}};
  expect_refusal(
      "--set-for short: found data.train = 2024-01-01, expected 2024-01-01..2024-01-02 as for two_tower");
  request_.settings_for["short"] = {{"eval.history", "frozen"}};
  expect_refusal("found eval.history = frozen");
}

TEST_F(Plan, RefusesDaysThatAreTrainedOnOrMissing) {
  request_.settings = {{"data.eval", "2024-01-02..2024-01-03"}};
  expect_refusal("held-out days were trained on: found 2024-01-02");
  request_.settings = {{"data.eval", "2025-01-01"}};
  expect_refusal("data.eval");
  request_.settings = {{"data.eval", ""}};
  expect_refusal("data.eval: found nothing");
}

TEST_F(Plan, GoesOnWithRunsThatFoundTheirBuckets) {
  const ComparisonRun run = plan_comparison(request_).runs[1];
  fs::create_directories(run.directory);
  const auto found = [&](NumberBuckets buckets) {
    Config config = run.config;
    config.features.buckets["price"] = std::move(buckets);
    write_file(config_path(run.directory), to_yaml(config));
  };
  found(NumberBuckets::between({0.25, 0.5}));
  EXPECT_NO_THROW(plan_comparison(request_));
  request_.settings.emplace_back("features.buckets.price", "4");
  EXPECT_NO_THROW(plan_comparison(request_)) << "three of at most 4";
  const std::string another = "short-3 is a run of another comparison: it has ";
  request_.settings.back().second = "2";
  expect_refusal(another + "features.buckets.price = [0.25, 0.5], expected 2;");
  request_.settings.back().second = "[0.25, 0.75]";
  expect_refusal(another + "features.buckets.price = [0.25, 0.5], expected [0.25, 0.75];");
  found({0, {}});
  request_.settings.back().second = "4";
  expect_refusal(another + "features.buckets.price = 0, expected 4;");
  request_.settings.pop_back();
  expect_refusal(another + "features.buckets.price = 0, expected ");
}

TEST_F(Plan, GoesOnWithRunsThatFoundTheirFirstWeights) {
  const std::string first = out_.file("first");
  request_.settings = {{"train.from", first}};
  const ComparisonRun run = plan_comparison(request_).runs[1];
  fs::create_directories(run.directory);
  Config found = run.config;
  found.train.from = first + "/checkpoints/step-000000004";
  found.data.seen = "2023-12-30..2023-12-31";
  found.features.buckets["price"] = {0, {}};  // as these weights know them
  write_file(config_path(run.directory), to_yaml(found));
  for (const std::string& from : {first, first + "/", found.train.from}) {
    request_.settings = {{"train.from", from}};
    EXPECT_NO_THROW(plan_comparison(request_)) << from;
  }
  request_.settings.emplace_back("data.seen", "2023-12-31");
  EXPECT_NO_THROW(plan_comparison(request_));
  request_.settings.back().second = "2023-12-29";
  expect_refusal("it has data.seen = 2023-12-30..2023-12-31, expected 2023-12-29..2023-12-31;");
  for (const std::string& from :
       {out_.file("second"), first + "/checkpoints/step-000000003", std::string()}) {
    request_.settings = {{"train.from", from}};
    expect_refusal("it has ");
  }
}

TEST_F(Plan, RefusesADirectoryOfSomethingElse) {
  fs::create_directory(request_.out);
  EXPECT_NO_THROW(plan_comparison(request_));
  write_file(request_.out + "/thesis.tex", "");
  expect_refusal("is not empty and holds no comparison");
  fs::remove(request_.out + "/thesis.tex");

  const ComparisonPlan plan = plan_comparison(request_);
  fs::create_directories(plan.runs[1].directory);
  write_file(config_path(plan.runs[1].directory), to_yaml(plan.runs[1].config));
  EXPECT_NO_THROW(plan_comparison(request_));
  request_.entries.push_back("hstu");  // a further model joins
  EXPECT_NO_THROW(plan_comparison(request_));
  request_.settings = {{"train.epochs", "1"}};
  expect_refusal(
      "short-3 is a run of another comparison: it has train.epochs = 2, expected 1; choose another --out");
  request_.out = out_.file("file");
  write_file(request_.out, "");
  expect_refusal("is a file");
}

}  // namespace
}  // namespace lime
