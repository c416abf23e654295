// Nights of a log as a user has them: a day is added, a run goes on with its days, another takes the new one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>

#include "tests/launch/program.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

constexpr const char* mapping_text = R"(
impressions:
  files: DAYS
  user: user
  item: item
  time: {column: time, unit: s}
  labels: {click: click}
  event: {features: {action: {column: click, kind: id}}}
items: {files: ITEMS, item: item, features: {topic: {kind: id}}}
)";

constexpr const char* config_text = R"(
features: {history: [item, action, topic, age], candidate: [item, topic], user: [user]}
embeddings:
  tables: {item: {dim: 4}, action: {dim: 4}, topic: {dim: 4}, age: {dim: 4}, user: {dim: 4}}
model: {name: lime_xor, width: 16, heads: 2, links: 4, blocks: 1, head_hidden: 8, max_positions: 16}
tasks: [click]
train: {batch_requests: 16, micro_batches: 1, log_every: 1, checkpoint_every: 0}
)";

// A log of four days, a file a day, and mappings of them.
class Nights : public testing::Test {
 protected:
  void SetUp() override {
    std::mt19937 random(3);
    for (int day = 1; day <= 4; ++day) {
      std::string text = "user,item,time,click\n";
      for (int row = 0; row < 120; ++row)
        text += str(random() % 25, ",", random() % 30, ",", 1704067200 + (day - 1) * 86400 + row * 700, ",",
                    random() % 2, "\n");
      write_file(path(str("day", day, ".csv")), text);
    }
    for (const char* items : {"items", "items_later"}) {
      std::string text = "item,topic\n";
      for (int item = 0; item < 30; ++item) text += str(item, ",", random() % 5, "\n");
      write_file(path(str(items, ".csv")), text);
    }
    map("first_two", "day[12].csv"), map("all", "day[1-4].csv"), map("third", "day3.csv", "items_later.csv");
    map("rest", "day[34].csv");
    for (const char* data : {"grown", "whole"})
      write_file(path(str(data, ".yaml")),
                 str("data: {path: ", path(data), ", train: 2024-01-01..2024-01-02, max_history: 20}\n",
                     config_text));
  }
  void map(const std::string& name, const std::string& days, const std::string& items = "items.csv") {
    std::string text = mapping_text;
    text.replace(text.find("DAYS"), 4, days);
    write_file(path(name + ".yaml"), text.replace(text.find("ITEMS"), 5, items));
  }
  std::string path(const std::string& name) { return temp_.file(name); }
  Outcome run(const std::string& command) {
    Outcome outcome = lime_program(command);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    return outcome;
  }
  std::string import(const std::string& mapping, const std::string& target) {
    return run(str("import csv --mapping ", path(mapping + ".yaml"), " ", target)).out;
  }
  std::string digests(const std::string& name, int step) {
    return checkpoint_digests(str(path(name), "/checkpoints/step-00000000", step));
  }
  std::vector<double> losses(const std::string& name) {
    std::vector<double> losses;
    std::ifstream file(path(name + "/metrics.jsonl"));
    for (std::string line; std::getline(file, line);)
      if (const auto json = nlohmann::json::parse(line); json.at("kind") == "train")
        losses.push_back(json.at("loss").get<double>());
    return losses;
  }

  TempDirectory temp_;
};

TEST_F(Nights, ADayIsAddedOnceAndToldOf) {
  import("first_two", "--parts 2 --out " + path("grown"));
  const std::string told = import("third", "--add-to " + path("grown"));
  EXPECT_THAT(
      told,
      AllOf(HasSubstr("added to " + path("grown") + ": 2024-01-03: 120 events and 120 requests"),
            HasSubstr(", 0 new users, 0 with other features, 0 new items, "), HasSubstr("it has "),
            HasSubstr("\nnote: 26 of 30 items have other features now, for all days, also those before: "),
            HasSubstr("360 events, 360 requests, 360 candidates, 3 days"), HasSubstr("label rates")));
  EXPECT_THAT(told, Not(HasSubstr("left out")));
  EXPECT_THAT(
      import("third", "--add-to " + path("grown")),
      AllOf(HasSubstr("left out 120 events and 120 requests of days or times that the dataset has already"),
            HasSubstr("nothing to add: " + path("grown") + " is as it was"), Not(HasSubstr("label rates"))));
  EXPECT_THAT(run(str("inspect --verify ", path("grown"))).out,
              AllOf(HasSubstr("imports: 2, the last of csv third.yaml: 2024-01-03, 120 events"),
                    HasSubstr("verified")));
  write_file(path("day3.csv"), "user,item,time,click\n");
  EXPECT_THAT(import("third", "--add-to " + path("grown")), HasSubstr("nothing to add"));
  write_file(path("items_later.csv"), "item,topic\n0,7\n1,7\n30,7\n");  // of 31
  EXPECT_THAT(import("third", "--add-to " + path("grown")),
              AllOf(HasSubstr(": no days: "), HasSubstr(", 1 new items, 2 with other features\n"),
                    Not(HasSubstr("note:"))));
}

TEST_F(Nights, MistakesChangeNothing) {
  import("first_two", "--out " + path("grown"));
  const std::string yaml = read_file(path("grown/dataset.yaml"));
  const std::string add = str("import csv --mapping ", path("third.yaml"), " --add-to ", path("grown"));
  expect_mistake(add + " --out " + path("x"), "--out excludes --add-to");
  expect_mistake(add + " --parts 3", "--add-to excludes --parts");
  expect_mistake(add + " --overwrite", "--add-to excludes --overwrite");
  expect_mistake("import csv --mapping " + path("third.yaml"), "--out or --add-to is required");
  expect_mistake(add + "x", "expected a dataset");
  std::string mapping = read_file(path("third.yaml"));
  write_file(path("third.yaml"),
             mapping.replace(mapping.find("topic: {kind: id}"), 17, "topic: {kind: ids}"));
  expect_mistake(add, "column 'topic' of group item: found kind ids, expected kind id");
  EXPECT_EQ(read_file(path("grown/dataset.yaml")), yaml);
  EXPECT_FALSE(fs::exists(path("grown/added-0001")));
}

TEST_F(Nights, TrainingOnDaysThatWereAddedIsTrainingOnAll) {
  import("all", "--parts 1 --out " + path("whole"));
  import("first_two", "--parts 1 --out " + path("grown"));
  import("rest", "--add-to " + path("grown"));
  for (const char* data : {"whole", "grown"})
    run(str("train ", path(data), ".yaml --set data.train=2024-01-02..2024-01-04 --out ", path("run_"),
            data));
  EXPECT_EQ(losses("run_whole").size(), 23u);
  EXPECT_EQ(losses("run_whole"), losses("run_grown"));
}

TEST_F(Nights, ARunGoesOnWithItsDaysAndTheNextOneTakesTheNewDay) {
  import("first_two", "--parts 1 --out " + path("grown"));
  fs::copy(path("grown"), path("whole"), fs::copy_options::recursive);
  run(str("train ", path("whole.yaml"), " --set train.max_steps=9 --out ", path("uninterrupted")));
  run(str("train ", path("grown.yaml"), " --set train.max_steps=4 --out ", path("run")));
  EXPECT_THAT(import("third", "--add-to " + path("grown")), Not(HasSubstr(" 0 items new")));
  fs::copy(path("run"), path("longer"), fs::copy_options::recursive);
  run(str("train --resume ", path("run"), " --set train.max_steps=9"));
  EXPECT_EQ(digests("run", 9), digests("uninterrupted", 9));
  EXPECT_EQ(losses("run"), losses("uninterrupted"));
  // With more days it is not the same run: it reads the dataset as it is.
  run(str("train --resume ", path("longer"),
          " --set train.max_steps=9 --set data.train=2024-01-01..2024-01-03"));
  EXPECT_NE(losses("longer"), losses("uninterrupted"));
  run(str("train ", path("grown.yaml"), " --from ", path("run"), " --out ", path("next"),
          " --set data.train=2024-01-03"));
  EXPECT_EQ(losses("next").size(), 8u);
}

}  // namespace
}  // namespace lime
