// metrics.jsonl and TensorBoard files: what a line says, that a resumed run repeats none, and the bytes of an
// event.
#include "launch/metrics_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

#include "launch/tensorboard_writer.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

using nlohmann::json;
using testing::ElementsAre;

StepReport report(int64_t step) {
  StepReport r;
  r.step = step;
  r.epoch = 1;
  r.steps = 10;
  r.loss = 0.5;
  r.ne = NAN;
  r.learning_rate = 0.25;
  r.requests = 1000;
  r.history_tokens = 4000;
  r.candidates = 2000;
  r.step_ms = 500;
  r.data_wait_ms = 20;
  r.parts_ms = {{"forward", 100}};
  return r;
}

std::vector<json> lines_of(const std::string& directory) {
  std::vector<json> lines;
  std::istringstream text(read_file(directory + "/metrics.jsonl"));
  for (std::string line; std::getline(text, line);) lines.push_back(json::parse(line));
  return lines;
}

std::vector<int64_t> steps_of(const std::string& directory) {
  std::vector<int64_t> steps;
  for (const auto& line : lines_of(directory)) steps.push_back(line["step"]);
  return steps;
}

TEST(MetricsLog, ATrainingLineHasRatesAndTimesAStep) {
  const TempDirectory temp;
  MetricsLog(temp.path(), 0).train(report(10));
  const json line = lines_of(temp.path()).at(0);
  EXPECT_EQ(line["kind"], "train");
  EXPECT_EQ(line["step"], 10);
  EXPECT_EQ(line["epoch"], 1);
  EXPECT_EQ(line["loss"], 0.5);
  EXPECT_TRUE(line["ne"].is_null());
  EXPECT_EQ(line["learning_rate"], 0.25);
  EXPECT_EQ(line["requests_per_s"], 2000);
  EXPECT_EQ(line["history_tokens_per_s"], 8000);
  EXPECT_EQ(line["step_ms"], 50);
  EXPECT_EQ(line["data_wait_ms"], 2);
  EXPECT_EQ(line["parts_ms"]["forward"], 10);
  EXPECT_FALSE(line.contains("slowest_rank"));
}

TEST(MetricsLog, WhoIsSlow) {
  const TempDirectory temp;
  StepReport slow = report(10);
  slow.work = WorkSpread{21, 23, 41, 5};
  MetricsLog(temp.path(), 0).train(slow);
  const json line = lines_of(temp.path()).at(0);
  EXPECT_EQ(line["work_ms_fastest"], 21);
  EXPECT_EQ(line["work_ms_median"], 23);
  EXPECT_EQ(line["work_ms_slowest"], 41);
  EXPECT_EQ(line["slowest_rank"], 5);
  std::string events;
  for (const auto& file : std::filesystem::directory_iterator(temp.file("tensorboard")))
    events += read_file(file.path());
  EXPECT_THAT(events, testing::HasSubstr("train/work_ms_slowest"));
  EXPECT_THAT(events, testing::HasSubstr("train/slowest_rank"));
}

TEST(MetricsLog, EvaluationHasALineADayAndOneForAll) {
  const TempDirectory temp;
  Metrics metrics;
  metrics.rows = 7;
  metrics.auc = 0.75;
  metrics.gauc = NAN;
  EvalResult result;
  result.history = "frozen";
  result.tasks = {{"click", {{"2022-05-05", metrics}, {"2022-05-06", metrics}}, metrics}};
  MetricsLog(temp.path(), 0).eval(20, {result});
  const auto lines = lines_of(temp.path());
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[0]["kind"], "eval");
  EXPECT_EQ(lines[0]["history"], "frozen");
  EXPECT_EQ(lines[0]["task"], "click");
  EXPECT_EQ(lines[1]["day"], "2022-05-06");
  EXPECT_EQ(lines[2]["day"], "all");
  EXPECT_EQ(lines[2]["auc"], 0.75);
  EXPECT_TRUE(lines[2]["gauc"].is_null());
  EXPECT_TRUE(has_evaluation(metrics_path(temp.path()), 20));
}

TEST(MetricsLog, AnEvaluationIsKnownByItsStep) {
  const TempDirectory temp;
  EXPECT_FALSE(has_evaluation(metrics_path(temp.path()), 20));  // no file
  MetricsLog(temp.path(), 0).train(report(20));
  EXPECT_FALSE(has_evaluation(metrics_path(temp.path()), 20));
  EvalResult result;
  result.tasks = {{"click", {}, {}}};
  MetricsLog(temp.path(), 20).eval(20, {result});
  EXPECT_TRUE(has_evaluation(metrics_path(temp.path()), 20));
  EXPECT_FALSE(has_evaluation(metrics_path(temp.path()), 2));
}

TEST(MetricsLog, LinesAreThereAsSoonAsTheyAreWritten) {
  const TempDirectory temp;
  MetricsLog log(temp.path(), 0);
  log.train(report(10));
  EXPECT_THAT(steps_of(temp.path()), ElementsAre(10));
  log.train(report(20));
  EXPECT_THAT(steps_of(temp.path()), ElementsAre(10, 20));
}

TEST(MetricsLog, AResumedRunRepeatsNoStep) {
  const TempDirectory temp;
  {
    MetricsLog log(temp.path(), 0);
    for (const int64_t s : {10, 20, 30, 40}) log.train(report(s));
  }
  {
    MetricsLog log(temp.path(), 25);
    log.train(report(30));
  }
  EXPECT_THAT(steps_of(temp.path()), ElementsAre(10, 20, 30));
  MetricsLog(temp.path(), 30).train(report(40));
  EXPECT_THAT(steps_of(temp.path()), ElementsAre(10, 20, 30, 40));
}

TEST(MetricsLog, ALineThatWasCutOffIsRemoved) {
  const TempDirectory temp;
  { MetricsLog(temp.path(), 0).train(report(10)); }
  const std::string path = temp.file("metrics.jsonl");
  write_file(path, read_file(path) + "{\"kind\":\"train\",\"step\":20");
  MetricsLog(temp.path(), 20).train(report(30));
  EXPECT_THAT(steps_of(temp.path()), ElementsAre(10, 30));
  write_file(path, read_file(path) + "{\"kind\":\"train\",\"step\":35}");  // whole but for its end
  MetricsLog(temp.path(), 40).train(report(45));
  EXPECT_THAT(steps_of(temp.path()), ElementsAre(10, 30, 45));
}

// Two kinds of history, of two days each.
std::vector<EvalResult> results_of(double auc) {
  Metrics metrics;
  metrics.auc = auc;
  std::vector<EvalResult> results(2);
  results[0].history = "running";
  results[1].history = "frozen";
  for (auto& result : results)
    result.tasks = {{"click", {{"2022-05-05", metrics}, {"2022-05-06", metrics}}, metrics}};
  return results;
}

// A kill, or a full disk, within the lines of an evaluation.
TEST(MetricsLog, AnEvaluationThatWasCutOffIsRemoved) {
  const TempDirectory temp;
  const std::string path = metrics_path(temp.path());
  {
    MetricsLog log(temp.path(), 0);
    log.eval(10, results_of(0.5));
    log.train(report(20));
  }
  const std::string before = read_file(path);
  MetricsLog(temp.path(), 20).eval(20, results_of(0.75));
  const std::string whole = read_file(path);
  for (size_t end = before.size(); end < whole.size(); end = whole.find('\n', end) + 1) {
    for (const size_t size :
         {end, end + 1, whole.find('\n', end)}) {  // of a line nothing, a part, and all but its end
      write_file(path, whole.substr(0, size));
      const MetricsLog log(temp.path(), 20);
      ASSERT_EQ(read_file(path), before) << size;
      ASSERT_FALSE(has_evaluation(path, 20)) << size;
    }
  }
  write_file(path, whole);
  MetricsLog(temp.path(), 20).eval(20, results_of(0.75));  // of other days, for instance
  EXPECT_EQ(read_file(path), whole + whole.substr(before.size()));
  { const MetricsLog log(temp.path(), 20); }
  EXPECT_EQ(lines_of(temp.path()).size(), 19u);
}

TEST(MetricsLog, AnEvaluationIsKnownByItsHistoriesTasksAndDays) {
  const TempDirectory temp;
  const std::string path = metrics_path(temp.path());
  auto results = results_of(0.5);
  EXPECT_FALSE(has_evaluation(path, 10, results));  // no file
  MetricsLog(temp.path(), 0).eval(10, results);
  EXPECT_TRUE(has_evaluation(path, 10, results));
  EXPECT_TRUE(has_evaluation(path, 10, {results[1]}));
  EXPECT_FALSE(has_evaluation(path, 20, results));
  auto other = results;
  other[1].history = "none";
  EXPECT_FALSE(has_evaluation(path, 10, other));
  other = results;
  other[0].tasks[0].task = "like";
  EXPECT_FALSE(has_evaluation(path, 10, other));
  other = results;
  other[1].tasks[0].days.pop_back();
  EXPECT_FALSE(has_evaluation(path, 10, other));
}

TEST(MetricsLog, EvaluationsOfBeforeTheirLinesWereCountedStay) {
  const TempDirectory temp;
  const std::string path = metrics_path(temp.path());
  MetricsLog(temp.path(), 0).eval(10, results_of(0.5));
  std::string text = read_file(path);
  const std::string count = "\"lines\":6,";
  for (size_t at = text.find(count); at != std::string::npos; at = text.find(count))
    text.erase(at, count.size());
  const std::string torn = text.substr(0, text.find('\n') + 1);
  for (const std::string& old : {text, torn}) {
    write_file(path, old);
    MetricsLog(temp.path(), 20).eval(20, results_of(0.75));
    EXPECT_TRUE(read_file(path).starts_with(old));
    const auto found = logged_evaluations(path, "running", "click", "auc");
    ASSERT_FALSE(found.empty());
    EXPECT_EQ(found.back().step, 20);
    EXPECT_THAT(found.back().days, ElementsAre("2022-05-05", "2022-05-06")) << "and none of step 10";
  }
}

std::string hex(const std::string& bytes) {
  std::string text;
  for (const unsigned char c : bytes) {
    constexpr char digits[] = "0123456789abcdef";
    text += digits[c >> 4];
    text += digits[c & 15];
  }
  return text;
}

TEST(Tensorboard, ChecksumIsCastagnolis) {
  EXPECT_EQ(crc32c("123456789"), 0xe3069283u);  // RFC 3720, B.4 has the polynomial; the usual check value
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aau);
}

// Bytes that TensorBoard's own reader has accepted.
TEST(Tensorboard, EventsAreTheBytesThatItsReaderKnows) {
  EXPECT_EQ(hex(tensorboard_record(version_event(1.5))),
            "1800000000000000a37f4b2209000000000000f83f1a0d627261696e2e4576656e743a322a28646c");
  EXPECT_EQ(hex(tensorboard_record(session_start_event(1.5, 51))),
            "0f000000000000006d532b0909000000000000f83f10333a020801d99f0993");
  EXPECT_EQ(hex(tensorboard_record(scalar_event(1.5, 300, {{"loss", 0.25}, {"skipped", NAN}, {"ne", -1}}))),
            "2600000000000000734fe30009000000000000f83f10ac022a180a0b0a046c6f7373150000803e0a090a026e65150000"
            "80bf6b17a359");
}

TEST(Tensorboard, AFileStartsWithItsVersionAndAResumedOneWithItsStep) {
  const TempDirectory temp;
  std::string fresh, resumed;
  {
    TensorboardWriter writer(temp.file("a"), 0);
    fresh = writer.path();
    writer.scalars(10, {{"train/loss", 0.5}});
  }
  {
    TensorboardWriter writer(temp.file("a"), 10);
    resumed = writer.path();
  }
  EXPECT_NE(fresh, resumed);
  const std::string bytes = read_file(fresh);
  EXPECT_EQ(bytes.substr(12 + 9, 15),
            "\x1a\x0d"
            "brain.Event:2");
  EXPECT_NE(bytes.find("train/loss"), std::string::npos);
  const std::string session("\x10\x0b\x3a\x02\x08\x01", 6);  // step 11, SessionLog START
  EXPECT_EQ(bytes.find(session), std::string::npos);
  EXPECT_NE(read_file(resumed).find(session), std::string::npos);
}

}  // namespace
}  // namespace lime
