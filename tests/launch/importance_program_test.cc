// `lime importance` as a user runs it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "tests/launch/program.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

class ImportanceProgram : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    temp_ = new TempDirectory;
    generate_log(path("data"));
    write_file(path("config.yaml"),
               str("data: {path: ", path("data"), ", train: 2024-01-01..2024-01-02, eval: 2024-01-03}\n",
                   small_log_features,
                   "model: {name: lime_xor, width: 16, heads: 2, links: 4, blocks: 1, head_hidden: 8}\n"
                   "tasks: [click]\n"
                   "eval: {history: both}\n"
                   "train: {batch_requests: 32, micro_batches: 2, max_steps: 3}\n"));
    const Outcome trained = lime_program(str("train ", path("config.yaml"), " --out ", path("run")));
    ASSERT_EQ(trained.exit_code, 0) << trained.err;
  }
  static void TearDownTestSuite() { delete temp_; }
  static std::string path(const std::string& name) { return temp_->file(name); }
  static nlohmann::json json_of(const std::string& name) {
    return nlohmann::json::parse(read_file(path(name)));
  }

  static inline TempDirectory* temp_;
};

TEST_F(ImportanceProgram, SaysWhatEachFeatureIsWorth) {
  const std::string command = str("importance ", path("run"), " --resamples 16 --features history,user.user");
  const Outcome alone =
      lime_program(str(command, " --json ", path("one.json"), " --html ", path("one.html")));
  ASSERT_EQ(alone.exit_code, 0) << alone.err;
  EXPECT_THAT(alone.out, StartsWith(path("run") + "/checkpoints/step-000000003\nclick: "));
  EXPECT_THAT(alone.out, HasSubstr("histories running"));  // the first of both
  EXPECT_THAT(alone.out, HasSubstr("\n  user.user "));
  EXPECT_THAT(alone.err, testing::ContainsRegex("1/3 as they are: AUC 0\\.[0-9]{4}  ETA "));
  EXPECT_THAT(alone.err, testing::ContainsRegex("\n3/3 user.user: AUC 0\\.[0-9]{4}, .*0\\.[0-9]{4} less\n"));
  EXPECT_THAT(read_file(path("one.html")), HasSubstr("What features are worth"));
  const Outcome two = lime_program_on(2, str(command, " --json ", path("two.json")));
  ASSERT_EQ(two.exit_code, 0) << two.err;
  EXPECT_EQ(json_of("one.json"), json_of("two.json"));
  const Outcome frozen =
      lime_program(str(command, " --history frozen --seed 5 --json ", path("frozen.json")));
  ASSERT_EQ(frozen.exit_code, 0) << frozen.err;
  EXPECT_EQ(json_of("frozen.json")["history"], "frozen");
  EXPECT_EQ(json_of("frozen.json")["seed"], 5);
}

TEST_F(ImportanceProgram, WithoutAListItIsEachSideAndFeature) {
  const Outcome all =
      lime_program(str("importance ", path("run"), " --resamples 0 --json ", path("all.json")));
  ASSERT_EQ(all.exit_code, 0) << all.err;
  std::set<std::string> shuffled;
  const auto json = json_of("all.json");
  for (const auto& set : json["tasks"][0]["sets"]) shuffled.insert(set["shuffled"]);
  for (const char* name : {"history", "candidate", "user", "history.item", "candidate.item"})
    EXPECT_TRUE(shuffled.contains(name)) << name;
}

TEST_F(ImportanceProgram, InspectSaysWhatTheFeaturesHold) {
  const Outcome all = lime_program(str("inspect ", path("data"), " --features"));
  ASSERT_EQ(all.exit_code, 0) << all.err;
  EXPECT_THAT(
      all.out,
      StartsWith("features of 3 days, 540 requests, 1,620 candidates; of histories the last 16 events\n"));
  EXPECT_THAT(all.out, HasSubstr("\nAUC: of click, by the value of the feature alone\n"));
  EXPECT_THAT(all.out, testing::ContainsRegex("\n  user.user \\(id\\) +0.0 % +60  0.[456]"));
  EXPECT_THAT(all.out, testing::ContainsRegex("\n  candidate.item \\(id\\) +0.0 % +50  "));
  const Outcome day = lime_program(str("inspect ", path("data"), " --features --days 2024-01-02"));
  EXPECT_THAT(day.out, StartsWith("features of 1 day, 180 requests, "));
  expect_mistake(str("inspect ", path("data"), " --features --days 2025-01-02"), "--days: ");
  expect_mistake(str("inspect ", path("data"), " --days 2024-01-02"), "--days requires --features");
  EXPECT_EQ(lime_program(str("inspect ", path("data"), " --features --label click")).out, all.out);
  expect_mistake(str("inspect ", path("data"), " --features --label klick"),
                 "--label: unknown label 'klick' (nearest: 'click')");
  expect_mistake(str("inspect ", path("data"), " --label click"), "--label requires --features");
  expect_mistake(str("inspect ", path("run"), " --features"),
                 "--features: " + path("run") + " is no dataset");
}

TEST_F(ImportanceProgram, MistakesAreOneLine) {
  const std::string command = str("importance ", path("run"), " ");
  expect_mistake(command + "--days 2024-01-02", "--days: held-out days were trained on");
  expect_mistake(command + "--features user.usr", "features.user has no 'usr' (nearest: 'user')");
  expect_mistake(command + "--features users",
                 "--features: found 'users', expected history, candidate or user");
  expect_mistake(command + "--set data.eval=", "--days: expected the days to evaluate: data.eval of");
  expect_mistake(command + "--html " + path("nowhere/a.html"), "--html: ");
}

}  // namespace
}  // namespace lime
