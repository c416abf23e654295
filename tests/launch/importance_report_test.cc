// What the reports of features' worth say, and that the page is whole by itself.
#include "launch/importance/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "tests/launch/xml_check.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

const double undefined = std::nan("");

ImportanceResult made_up() {
  ImportanceResult result;
  result.run = "runs/first/checkpoints/step-000000335";
  result.history = "running";
  result.days = {"2022-05-05", "2022-05-06"};
  result.resamples = 200;
  result.seed = 3;
  TaskImportance task;
  task.task = "is_click";
  task.users = 17396;
  task.whole.rows = 56658;
  task.whole.positives = 24801;
  task.whole.auc = 0.7477, task.whole.gauc = undefined, task.whole.ne = 0.8528, task.whole.wt_auc = undefined;
  const auto worth = [](const std::string& name, bool side, const Estimate& auc, const Estimate& ne) {
    FeatureWorth set{name, side, {}};
    set.loss.fill({undefined, undefined, undefined});
    set.loss[static_cast<size_t>(MetricKind::auc)] = auc;
    set.loss[static_cast<size_t>(MetricKind::ne)] = ne;
    return set;
  };
  task.sets.push_back(worth("history", true, {0.0414, 0.0388, 0.044}, {0.0403, 0.04, 0.041}));
  task.sets.push_back(worth("user.a<b", false, {-0.0001, -0.0003, 0.0001}, {-0.0002, -0.0004, 0}));
  result.tasks = {task};
  return result;
}

TEST(ImportanceReport, TheTableSaysWhatIsLost) {
  const std::string text = to_text(made_up());
  EXPECT_THAT(text,
              testing::StartsWith("is_click: 56,658 rows of 17,396 users, histories running; as they are AUC "
                                  "0.7477, GAUC -, NE 0.8528\n"
                                  "  shuffled  AUC less    95 % over users  GAUC less  NE more\n"
                                  "  history     0.0414   0.0388 to 0.0440          -   0.0403\n"));
  EXPECT_THAT(text, HasSubstr("(200 resamples)"));
  EXPECT_THAT(text, Not(HasSubstr("WT-AUC")));
  EXPECT_THAT(text, Not(HasSubstr("MRR")));
  ImportanceResult lists = made_up();
  lists.tasks[0].whole.ranked_requests = 9;
  EXPECT_THAT(to_text(lists), HasSubstr("GAUC less  R-AUC less  MRR less  nDCG@10 less  NE more\n"));
  for (size_t begin = 0, end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1)
    EXPECT_LE(end - begin, 120u) << text.substr(begin, end - begin);
}

TEST(ImportanceReport, WithoutResamplesThereAreNoIntervals) {
  auto result = made_up();
  result.resamples = 0;
  result.with_watch_time = true;
  for (auto& set : result.tasks[0].sets)
    for (auto& loss : set.loss) loss.low = loss.high = undefined;
  const std::string text = to_text(result);
  EXPECT_THAT(text, HasSubstr("  shuffled  AUC less  GAUC less  NE more  WT-AUC less\n"));
  EXPECT_THAT(text, Not(HasSubstr("95 %")));
  const std::string html = to_html(result);
  EXPECT_THAT(with_class(parse_xml(html), "chart"), testing::SizeIs(1));
  EXPECT_THAT(html, Not(HasSubstr("nan")));
}

TEST(ImportanceReport, JsonHasEveryNumber) {
  const auto json = nlohmann::json::parse(to_json(made_up()));
  EXPECT_EQ(json["run"], "runs/first/checkpoints/step-000000335");
  EXPECT_EQ(json["history"], "running");
  EXPECT_EQ(json["days"].size(), 2u);
  EXPECT_EQ(json["seed"], 3);
  EXPECT_EQ(json["resamples"], 200);
  const auto& task = json["tasks"][0];
  EXPECT_EQ(task["task"], "is_click");
  EXPECT_EQ(task["as_they_are"]["auc"], 0.7477);
  EXPECT_EQ(task["as_they_are"]["rows"], 56658);
  EXPECT_EQ(task["as_they_are"]["users"], 17396);
  EXPECT_TRUE(task["as_they_are"]["gauc"].is_null());
  EXPECT_EQ(task["sets"][0]["shuffled"], "history");
  EXPECT_EQ(task["sets"][0]["worse_by"]["auc"]["low"], 0.0388);
  EXPECT_EQ(task["sets"][1]["worse_by"]["ne"]["value"], -0.0002);
  EXPECT_TRUE(task["sets"][1]["worse_by"]["wt_auc"]["value"].is_null());
}

TEST(ImportanceReport, ThePageIsWholeByItself) {
  const std::string html = to_html(made_up());
  const auto page = parse_xml(html);
  for (const auto& element : page)
    for (const char* attribute : {"href", "src", "xlink:href"})
      EXPECT_FALSE(element.attributes.contains(attribute)) << element.name;
  std::vector<std::string> names, headings;
  for (const auto& element : page) {
    if (element.name == "text" && element.has_class("name")) names.push_back(element.text);
    if (element.name == "th") headings.push_back(element.text);
  }
  EXPECT_THAT(names, ElementsAre("history", "user.a<b"));
  EXPECT_THAT(with_class(page, "chart"), testing::SizeIs(1));
  EXPECT_THAT(headings, ElementsAre("shuffled", "AUC less", "GAUC less", "NE more", "history", "user.a<b"));
  EXPECT_THAT(html, HasSubstr("2022-05-05..2022-05-06 (2 days)"));
  EXPECT_THAT(html, HasSubstr("0.0388 to 0.0440"));
}

TEST(ImportanceReport, WhatIsSmallHasAScaleOfItsOwn) {
  auto result = made_up();
  auto& sets = result.tasks[0].sets;
  sets.push_back(sets[1]);
  sets.back().name = "user.c";
  sets.push_back(sets[0]);
  sets.back().name = "user.d";
  std::vector<std::vector<std::string>> charts;
  for (const auto& element : parse_xml(to_html(result))) {
    if (element.has_class("chart")) charts.emplace_back();
    if (element.name == "text" && element.has_class("name")) charts.back().push_back(element.text);
  }
  EXPECT_THAT(charts, ElementsAre(ElementsAre("history", "user.d"), ElementsAre("user.a<b", "user.c")));
}

}  // namespace
}  // namespace lime
