// What the reports of a comparison say, and that the page is whole by itself.
#include "launch/compare/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "tests/launch/compare/made_up_results.h"
#include "tests/launch/xml_check.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

// The charts of a page: the texts of each.
std::vector<std::vector<std::string>> charts_of(const std::string& page) {
  std::vector<std::vector<std::string>> charts;
  for (const auto& element : parse_xml(page)) {
    if (element.has_class("chart")) charts.emplace_back();
    if (element.name == "text") charts.back().push_back(element.text);
  }
  return charts;
}

bool has_chart(const std::string& page, const std::string& title) {
  for (const auto& chart : charts_of(page))
    if (chart.front() == title) return true;
  return false;
}

TEST(ReportTable, HasACellForEveryModelAndColumn) {
  const auto results = made_up_results(false);
  const ReportTable table = report_table(results, "is_click");
  EXPECT_THAT(table.columns, ElementsAre("AUC", "GAUC (frozen)", "NE", "AUC by seed", "requests/s",
                                         "parameters", "table rows"));
  ASSERT_EQ(table.models.size(), 7u);
  for (const auto& cells : table.models) EXPECT_EQ(cells.size(), table.columns.size());
  const ReportCell& auc = table.models[5][0];
  EXPECT_EQ(auc.value, "0.7448");
  EXPECT_EQ(auc.interval, "0.7408 to 0.7498");
  EXPECT_EQ(auc.half_width,
            "\xC2\xB1"
            "0.0045");
  EXPECT_EQ(auc.difference, "+0.0014");
  EXPECT_EQ(auc.difference_interval, "+0.0004 to +0.0024");
  EXPECT_EQ(table.models[5][3].value, "0.7438 0.7448 0.7458");
  EXPECT_EQ(table.models[5][4].value, "4,000");
  EXPECT_TRUE(table.models[3][0].difference.empty());  // the baseline
}

TEST(ReportTable, AnIntervalThatExcludesZeroIsBetterOrWorse) {
  const auto verdicts = [](size_t column) {
    std::vector<int> list;
    for (const auto& cells : report_table(made_up_results(false), "is_click").models)
      list.push_back(cells[column].verdict);
    return list;
  };
  EXPECT_THAT(verdicts(0), ElementsAre(-1, -1, 0, 0, 0, 1, 1));
  EXPECT_THAT(verdicts(2), ElementsAre(-1, -1, 0, 0, 0, 1, 1));  // NE: less is better
}

TEST(ReportTable, SeedsThatDisagreeGiveNoVerdict) {
  auto results = made_up_results(false);
  results.tasks[0].models[5].metrics[0].difference_by_seed[1] *= -1;
  EXPECT_EQ(report_table(results, "is_click").models[5][0].verdict, 0);
}

TEST(ReportTable, LatencyIsThereWhereItWasMeasured) {
  const auto columns = report_table(made_up_results(true), "is_click").columns;
  EXPECT_EQ(columns.size(), 7u + 4u);
  EXPECT_EQ(columns[7], "ms at 64");
  EXPECT_EQ(columns.back(), "ms at 32,768");
  EXPECT_EQ(report_table(made_up_results(true), "is_click").models[3].back().value, "328");
  EXPECT_TRUE(has_chart(to_html(made_up_results(true)), "Scoring latency"));
  auto results = made_up_results(true);
  EXPECT_THAT(how_to_read(results, "+", "-"), HasSubstr("a history of 4,096 events."));
  for (auto& point : results.models[1].latency) point.history = 0;
  EXPECT_EQ(report_table(results, "is_click").columns, columns) << "a column for all histories";
  EXPECT_THAT(how_to_read(results, "+", "-"),
              HasSubstr(str("a history of 4,096 events (", results.models[1].name, ": 0).")));
  for (const auto& text : {to_html(made_up_results(false)), to_text(made_up_results(false)),
                           to_markdown(made_up_results(false)), to_json(made_up_results(false))}) {
    EXPECT_THAT(text, Not(HasSubstr("atency")));
    EXPECT_THAT(text, Not(HasSubstr("ms at")));
  }
}

TEST(ReportPage, ManyHeldOutDaysAreARangeAndLinesWithoutIntervals) {
  auto results = made_up_results(false);
  const std::string four = to_html(results);
  EXPECT_THAT(four, HasSubstr("2022-05-05..2022-05-08 (4 days)"));
  EXPECT_THAT(four, HasSubstr("Means over seeds with 95 % intervals over users."));
  const auto repeat = [](auto& values) {
    const auto once = values;
    for (int times = 0; times < 5; ++times) values.insert(values.end(), once.begin(), once.end());
  };
  repeat(results.held_out_days);
  for (auto& task : results.tasks)
    for (auto& model : task.models) repeat(model.auc_by_day);
  const std::string many = to_html(results);
  EXPECT_THAT(many, HasSubstr("2022-05-05..2022-05-08 (24 days)"));
  EXPECT_THAT(many, Not(HasSubstr("95 % intervals over users.")));
  EXPECT_THAT(many, HasSubstr("Means over seeds; report.json has the intervals."));
}

TEST(ReportPage, IsWellFormedAndRefersToNothing) {
  const std::string page = to_html(made_up_results(true));
  const auto elements = parse_xml(page);
  EXPECT_EQ(elements[0].name, "html");
  for (const auto& element : elements) {
    for (const char* name : {"script", "link", "img", "iframe", "object", "image", "use"})
      EXPECT_NE(element.name, name);
    for (const char* name : {"href", "src", "srcset", "xlink:href", "style"})
      EXPECT_FALSE(element.attributes.contains(name)) << element.name;
  }
  for (const char* outside : {"http", "url(", "@import", "@font-face", "nan", "inf,"})
    EXPECT_THAT(page, Not(HasSubstr(outside)));
  EXPECT_THAT(page, HasSubstr("prefers-color-scheme:dark"));
  EXPECT_THAT(page, HasSubstr("data/made-up &amp; &lt;more&gt;"));
  EXPECT_EQ(page, to_html(made_up_results(true)));
}

TEST(ReportPage, ShowsEveryModelInEveryChart) {
  const auto charts = charts_of(to_html(made_up_results(true)));
  ASSERT_EQ(charts.size(), 2u * 4 + 3);  // differences of AUC and NE, days, calibration; loss, NE, latency
  for (const auto& texts : charts) {
    const bool differences = texts.front().find("less that of") != std::string::npos;
    for (const auto& model : made_up_results(true).models) {
      const bool named = std::count(texts.begin(), texts.end(), model.name) > 0;
      EXPECT_EQ(named, !differences || model.name != "hstu") << model.name << " in " << texts.front();
    }
  }
}

TEST(ReportPage, AModelHasOneColourThroughout) {
  std::set<std::string> classes;
  std::string last;
  for (const auto& element : parse_xml(to_html(made_up_results(true)))) {
    if (element.has_class("mark") && element.name == "g") last = element.attributes.at("class");
    if (element.name == "title" && element.text.starts_with("lime_mha ")) classes.insert(last);
  }
  EXPECT_THAT(classes, ElementsAre("mark s4"));
}

TEST(ReportPage, LeavesOutWhatThereIsNot) {
  auto results = made_up_results(false);
  results.baseline = "";
  for (auto& task : results.tasks)
    for (auto& model : task.models)
      for (auto& metric : model.metrics) {
        metric.difference = {NAN, NAN, NAN};
        metric.difference_by_seed.clear();
      }
  results.failures = {{"hstu-2", "step 5: the loss is not finite <&>", "out/logs/hstu-2.log"}};
  const std::string page = to_html(results);
  EXPECT_NO_THROW(parse_xml(page));
  EXPECT_THAT(page, Not(HasSubstr("less that of")));
  EXPECT_THAT(page, HasSubstr("hstu-2: step 5: the loss is not finite &lt;&amp;&gt;"));
  EXPECT_THAT(to_text(results), HasSubstr("hstu-2 failed: step 5"));
  EXPECT_THAT(to_text(results), Not(HasSubstr("less ")));
  EXPECT_THAT(to_markdown(results), HasSubstr("* hstu-2 failed: step 5"));
  results.held_out_days.resize(1);
  EXPECT_FALSE(has_chart(to_html(results), "AUC by held-out day"));
}

TEST(ReportText, HasALineOfDifferencesBelowEachModel) {
  const std::string text = to_text(made_up_results(false));
  EXPECT_THAT(text,
              HasSubstr("is_click: 56,658 rows of 17,396 users, 24,801 positive; histories running; held out "
                        "2022-05-05..2022-05-08 (4 days); seeds 1, 2, 3\n"));
  EXPECT_THAT(text, HasSubstr("+0.0014 \xC2\xB1"
                              "0.0010 *"));
  EXPECT_THAT(text, HasSubstr("\xE2\x88\x92"
                              "0.0021 \xC2\xB1"
                              "0.0010 !"));
  size_t below = 0;
  for (size_t at = text.find("  less hstu "); at != std::string::npos; at = text.find("  less hstu ", at + 1))
    ++below;
  EXPECT_EQ(below, 2u * 6);
}

TEST(ReportText, SaysWhatVariantsAndSettingsAre) {
  const auto results = made_up_results(false);
  for (const auto& text : {to_text(results), to_markdown(results), to_html(results), to_json(results)})
    EXPECT_THAT(text, HasSubstr("lime_xor, model.links=64"));
  for (const auto& text : {to_markdown(results), to_html(results), to_json(results)})
    EXPECT_THAT(text, HasSubstr("train.epochs=2"));
}

TEST(ReportMarkdown, IsATableATask) {
  const std::string text = to_markdown(made_up_results(false));
  EXPECT_THAT(text, HasSubstr("\n## long\\_view\n"));
  EXPECT_THAT(text, HasSubstr("| model | AUC | GAUC (frozen) | NE |"));
  EXPECT_THAT(
      text,
      HasSubstr("| lime\\_xor | 0.7448 (0.7408 to 0.7498)<br>+0.0014 (+0.0004 to +0.0024) **better** |"));
}

TEST(ReportJson, HasEveryNumber) {
  const auto json = nlohmann::json::parse(to_json(made_up_results(true)));
  EXPECT_EQ(json["models"].size(), 7u);
  EXPECT_EQ(json["models"][3]["latency"][9]["candidates"], 32768);
  ASSERT_EQ(json["tasks"].size(), 4u);
  EXPECT_EQ(json["tasks"][1]["history"], "frozen");
  const auto& model = json["tasks"][0]["models"][5];
  EXPECT_EQ(model["name"], "lime_xor");
  EXPECT_DOUBLE_EQ(model["auc"]["value"], 0.7448);
  EXPECT_EQ(model["auc"]["by_seed"].size(), 3u);
  EXPECT_EQ(model["auc"]["difference"]["by_seed"].size(), 3u);
  EXPECT_TRUE(model["wt_auc"]["value"].is_null());
  EXPECT_FALSE(json["tasks"][0]["models"][3]["auc"].contains("difference"));
  EXPECT_EQ(model["reliability"].size(), 10u);
  EXPECT_EQ(model["auc_by_day"].size(), 4u);
}

TEST(Reliability, TenthsOfTheRowsByPrediction) {
  std::vector<ScoredRow> rows(100);
  for (int i = 0; i < 100; ++i) {
    rows[static_cast<size_t>(i)].logit = static_cast<float>((i * 37 % 100) - 50) / 10;
    rows[static_cast<size_t>(i)].label = i * 37 % 100 >= 50 ? 1.0f : 0.0f;
  }
  const auto bins = reliability(rows, 10);
  ASSERT_EQ(bins.size(), 10u);
  double rate = 0;
  for (size_t b = 0; b < 10; ++b) {
    EXPECT_EQ(bins[b].rows, 10);
    EXPECT_NEAR(bins[b].label, b < 5 ? 0 : 1, 1e-12);
    if (b > 0) {
      EXPECT_GT(bins[b].prediction, bins[b - 1].prediction);
    }
    rate += bins[b].prediction / 10;
  }
  EXPECT_NEAR(rate, 0.5, 0.01);
  EXPECT_EQ(reliability({rows.begin(), rows.begin() + 3}, 10).size(), 3u);
}

TEST(TrainingCurve, StretchesAreTheSameForAllSeeds) {
  TrainingLog a, b;
  for (int line = 1; line <= 10; ++line) {
    a.step.push_back(20 * line);
    a.loss.push_back(line);
    b.step.push_back(20 * line);
    b.loss.push_back(line + 2);
    if (line == 5) {  // interrupted there: a further line
      b.step.back() = 90;
      b.step.push_back(100);
      b.loss.push_back(7);
    }
  }
  const TrainingCurve all = training_curve({a, b}, &TrainingLog::loss, false, 60);
  EXPECT_THAT(all.step, ElementsAre(20, 40, 60, 80, 100, 120, 140, 160, 180, 200));
  EXPECT_DOUBLE_EQ(all.mean[4], (5 + 7) / 2.0);
  EXPECT_DOUBLE_EQ(all.low[4], 5);
  EXPECT_DOUBLE_EQ(all.high[4], 7);
  const TrainingCurve few = training_curve({a, b}, &TrainingLog::loss, false, 5);
  EXPECT_THAT(few.step, ElementsAre(40, 80, 120, 160, 200));
  EXPECT_DOUBLE_EQ(few.low[0], 1.5);
  EXPECT_DOUBLE_EQ(training_curve({a, b}, &TrainingLog::loss, true, 5).low[0], 2);
  EXPECT_TRUE(training_curve({}, &TrainingLog::loss, true, 5).step.empty());
  b.loss[0] = NAN;
  EXPECT_DOUBLE_EQ(training_curve({a, b}, &TrainingLog::loss, false, 60).step[0], 40);
}

TEST(TrainingLog, ReadsWhatTrainingWrites) {
  const TempDirectory temp;
  write_file(
      temp.file("metrics.jsonl"),
      "{\"kind\":\"train\",\"step\":20,\"loss\":0.7,\"ne\":null,\"requests\":400,\"requests_per_s\":200.0}\n"
      "{\"kind\":\"eval\",\"step\":20,\"auc\":0.5}\n"
      "{\"kind\":\"train\",\"step\":40,\"loss\":0.6,\"ne\":0.9,\"requests\":400,\"requests_per_s\":null}\n{"
      "\"ki");
  const TrainingLog log = read_training_log(temp.file("metrics.jsonl"));
  EXPECT_THAT(log.step, ElementsAre(20, 40));
  EXPECT_THAT(log.loss, ElementsAre(0.7, 0.6));
  EXPECT_TRUE(std::isnan(log.ne[0]));
  EXPECT_THAT(log.seconds, ElementsAre(2, 0));
  EXPECT_THAT(log.requests, ElementsAre(400, 0));
}

}  // namespace
}  // namespace lime
