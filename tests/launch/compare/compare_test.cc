// lime compare as a user gives it: runs of the real program on a small generated log.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "launch/chart_axis.h"
#include "launch/scored_rows.h"
#include "runtime/error.h"
#include "runtime/text.h"
#include "tests/launch/program.h"
#include "tests/launch/xml_check.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::Not;
using Json = nlohmann::json;

constexpr const char* config_text = R"(
features: {history: [item, action], candidate: [item, topic], user: [hour]}
embeddings: {dim: 4}
model: {name: lime_xor, width: 8, heads: 2, links: 4, blocks: 1, head_hidden: 4, max_positions: 8}
tasks: [click]
train: {batch_requests: 16, micro_batches: 2, log_every: 2, max_steps: 6, checkpoint_every: 0}
eval: {history: both, watch_time: watch_time}
)";

class Compare : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    temp_ = new TempDirectory;
    generate_log(path("data"), {.requests = 2});
    write_file(path("config.yaml"),
               str("data: {path: ", path("data"),
                   ", train: 2024-01-01, eval: 2024-01-02..2024-01-03, max_history: 8}", config_text));
  }
  static void TearDownTestSuite() {
    delete temp_;
    temp_ = nullptr;
  }
  static std::string path(const std::string& name) { return temp_->file(name); }
  static std::string command(const std::string& out, const std::string& options) {
    return str("compare ", path("config.yaml"), " --resamples 50 --latency 2,5 --out ", path(out), " ",
               options);
  }
  static Json json(const std::string& file) { return Json::parse(read_file(path(file))); }
  static fs::file_time_type written(const std::string& file) { return fs::last_write_time(path(file)); }

 private:
  static TempDirectory* temp_;
};

TempDirectory* Compare::temp_ = nullptr;

TEST_F(Compare, ReportsWhatItsRunsMeasured) {
  const std::string options = "--models two_tower,short=lime_xor --set-for short model.links=2 --seeds 1,2";
  const Outcome outcome = lime_program(command("both", options));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("[4/4] short-2 in 0:0"));
  EXPECT_THAT(outcome.out, HasSubstr("less two_tower"));
  EXPECT_THAT(read_file(path("both/report.md")), HasSubstr("| short |"));
  EXPECT_NO_THROW(parse_xml(read_file(path("both/report.html"))));
  EXPECT_THAT(read_file(path("both/runs/short-1/config.yaml")), HasSubstr("links: 2"));

  const Json report = json("both/report.json");
  EXPECT_EQ(report["baseline"], "two_tower");
  for (const Json& model : report["models"]) {
    ASSERT_EQ(model["latency"].size(), 2u);
    EXPECT_EQ(model["latency"][1]["candidates"], 5);
    EXPECT_EQ(model["latency"][1]["history"], 8);
    EXPECT_GT(model["latency"][1]["median_ms"], 0);
  }
  ASSERT_EQ(report["tasks"].size(), 2u);  // running, frozen
  for (size_t history = 0; history < 2; ++history) {
    const Json& task = report["tasks"][history];
    for (size_t m = 0; m < 2; ++m) {
      const std::string name = task["models"][m]["name"];
      for (const char* metric : {"auc", "gauc", "ne", "wt_auc"}) {
        double mean = 0;
        for (int seed = 1; seed <= 2; ++seed) {
          const Json own = json(str("both/runs/", name, "-", seed, "/eval.json"))[history];
          EXPECT_EQ(own["history"], task["history"]);
          const double value = own["tasks"][0]["all"][metric];
          EXPECT_EQ(task["models"][m][metric]["by_seed"][static_cast<size_t>(seed - 1)], value)
              << name << metric;
          mean += value / 2;
        }
        const Json& result = task["models"][m][metric];
        EXPECT_NEAR(result["value"], mean, 1e-12);
        EXPECT_LT(result["low"], result["value"]);
        EXPECT_GT(result["high"], result["value"]);
      }
      double day = 0;
      for (int seed = 1; seed <= 2; ++seed)
        day += json(str("both/runs/", name, "-", seed,
                        "/eval.json"))[history]["tasks"][0]["days"]["2024-01-03"]["auc"]
                   .get<double>() /
               2;
      const Json& of_day = task["models"][m]["auc_by_day"][1];
      EXPECT_NEAR(of_day["value"], day, 1e-12);
      EXPECT_LT(of_day["low"], day);
      EXPECT_GT(of_day["high"], day);
      const auto width = [](const Json& e) { return e["high"].get<double>() - e["low"].get<double>(); };
      EXPECT_GT(width(of_day), width(task["models"][m]["auc"]));  // of half the rows
    }
    for (const char* metric : {"auc", "ne"}) {
      const Json& own = task["models"][1][metric];
      const Json& difference = own["difference"];
      EXPECT_LT(difference["low"], difference["value"]);
      EXPECT_GT(difference["high"], difference["value"]);
      EXPECT_EQ(difference["by_seed"][1].get<double>(),
                own["by_seed"][1].get<double>() - task["models"][0][metric]["by_seed"][1].get<double>());
    }
    EXPECT_NEAR(
        task["models"][1]["auc"]["difference"]["value"],
        task["models"][1]["auc"]["value"].get<double>() - task["models"][0]["auc"]["value"].get<double>(),
        1e-12);
  }
  const Outcome inspected = lime_program("inspect " + path("both/runs/short-1"));
  EXPECT_THAT(inspected.out,
              HasSubstr(str(grouped(report["models"][1]["parameters"].get<int64_t>()), " dense parameters, ",
                            grouped(report["models"][1]["table_rows"], 0), " rows in ")));

  // Again: nothing is trained, the report is the same. A third model and another baseline: only that is
  // trained.
  const auto before = written("both/runs/short-1/rows.h5");
  const std::string page = read_file(path("both/report.html"));
  EXPECT_EQ(lime_program(command("both", options)).exit_code, 0);
  EXPECT_EQ(read_file(path("both/report.html")), page);
  const Outcome more = lime_program(command("both", options + " --models din --baseline din"));
  EXPECT_THAT(more.err, HasSubstr("4 of 6 runs are there already"));
  EXPECT_THAT(more.out, HasSubstr("less din"));
  EXPECT_EQ(written("both/runs/short-1/rows.h5"), before);
  // Another configuration is another comparison.
  const Outcome other = lime_program(command("both", options + " --set train.max_steps=7"));
  EXPECT_EQ(other.exit_code, 2);
  EXPECT_THAT(
      other.err,
      HasSubstr("two_tower-1 is a run of another comparison: it has train.max_steps = 6, expected 7"));
}

TEST_F(Compare, ResumesARunThatWasInterrupted) {
  ASSERT_EQ(lime_program(command("whole", "--models mha --seeds 5")).exit_code, 0);
  // As if it had been stopped after its fourth step.
  const Outcome part = lime_program(str("train ", path("config.yaml"),
                                        " --set model.name=mha --set seed=5 --set train.max_steps=4 "
                                        "--set data.eval= --out ",
                                        path("parts/runs/mha-5")));
  ASSERT_EQ(part.exit_code, 0) << part.err;
  fs::copy_file(path("whole/runs/mha-5/config.yaml"), path("parts/runs/mha-5/config.yaml"),
                fs::copy_options::overwrite_existing);
  const Outcome outcome = lime_program(command("parts", "--models mha --seeds 5"));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(read_file(path("parts/logs/mha-5.log")), HasSubstr("at step 4"));
  EXPECT_EQ(json("parts/report.json")["tasks"], json("whole/report.json")["tasks"]);
}

TEST_F(Compare, AFailingModelIsLeftOutByName) {
  const Outcome outcome = lime_program(command(
      "failing", "--models two_tower,din,mha --seeds 1 --set-for din train.learning_rate=1e30 --jobs 2"));
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.err, HasSubstr("din-1 failed: step "));
  EXPECT_THAT(outcome.err, HasSubstr("failing/logs/din-1.log"));
  EXPECT_THAT(outcome.out, HasSubstr("less two_tower"));
  const Json report = json("failing/report.json");
  EXPECT_EQ(report["models"].size(), 2u);
  EXPECT_EQ(report["failures"][0]["run"], "din-1");
  EXPECT_THAT(read_file(path("failing/report.html")), HasSubstr("the loss is not finite"));

  const Outcome alone =
      lime_program(command("alone", "--models din --seeds 1 --set train.learning_rate=1e30"));
  EXPECT_EQ(alone.exit_code, 2);
  ASSERT_EQ(alone.error_lines().size(), 1u);
  EXPECT_THAT(alone.error_lines()[0],
              HasSubstr("no model has all of its runs; the first that failed: din-1: step "));
  EXPECT_FALSE(fs::exists(path("alone/report.json")));
}

TEST_F(Compare, RanksOfARunAreTheLaunchersAndGiveTheSame) {
  ASSERT_EQ(lime_program(command("one", "--models hstu --seeds 1")).exit_code, 0);
  const Outcome two =
      lime_program(command("two", str("--models hstu --seeds 1 --ranks 2 --launcher ", LIME_MPIEXEC)));
  ASSERT_EQ(two.exit_code, 0) << two.err;
  EXPECT_THAT(read_file(path("two/logs/hstu-1.log")), HasSubstr("2 ranks"));
  EXPECT_EQ(json("one/report.json")["tasks"], json("two/report.json")["tasks"]);
  EXPECT_EQ(read_file(path("one/runs/hstu-1/eval.json")), read_file(path("two/runs/hstu-1/eval.json")));
}

TEST_F(Compare, MistakesAreOneLine) {
  expect_mistake(command("wrong", "--models lime_zor"), "--models: found 'lime_zor', expected");
  expect_mistake(command("wrong", "--models hstu --seeds 1,1"), "--seeds: found 1 twice");
  expect_mistake(command("wrong", "--models hstu --set-for hstu model.links"),
                 "found 'model.links', expected key=value");
  expect_mistake(command("wrong", "--models hstu --set data.eval=2024-01-01"),
                 "held-out days were trained on");
  EXPECT_FALSE(fs::exists(path("wrong")));
  const Outcome ranks = lime_program_on(2, command("wrong", "--models hstu"));
  EXPECT_THAT(ranks.err, HasSubstr("lime compare is one process: found 2 ranks"));
}

// What `--rows` writes does not depend on the ranks, and is what the evaluation measured.
TEST_F(Compare, RowsOfAnEvaluation) {
  ASSERT_EQ(
      lime_program(str("train ", path("config.yaml"), " --out ", path("run"), " --rows ", path("trained.h5")))
          .exit_code,
      0);
  const Outcome two = lime_program_on(2, str("eval ", path("run"), " --rows ", path("evaluated.h5")));
  ASSERT_EQ(two.exit_code, 0) << two.err;
  const ScoredRowsFile trained(path("trained.h5")), evaluated(path("evaluated.h5"));
  EXPECT_THAT(trained.days(), testing::ElementsAre("2024-01-02", "2024-01-03"));
  for (const char* history : {"running", "frozen"}) {
    const auto one = trained.read(history, "click"), two_ranks = evaluated.read(history, "click");
    ASSERT_EQ(one.size(), two_ranks.size());
    for (size_t i = 0; i < one.size(); ++i) {
      ASSERT_EQ(one[i].logit, two_ranks[i].logit) << i;
      ASSERT_EQ(one[i].user, two_ranks[i].user) << i;
      ASSERT_EQ(one[i].watch_time, two_ranks[i].watch_time) << i;
    }
    const double auc = compute_metrics(one, true).auc;
    EXPECT_EQ(json("run/eval.json")[history == std::string("running") ? 0 : 1]["tasks"][0]["all"]["auc"],
              auc);
  }
  const Outcome nowhere = lime_program(str("eval ", path("run"), " --rows ", path("no/rows.h5")));
  EXPECT_EQ(nowhere.exit_code, 2);
  EXPECT_THAT(nowhere.err, HasSubstr("no/rows.h5"));
}

// What a run says last has room in its log on a disk that is full.
TEST_F(Compare, OnAFullDiskTheReasonIsTheRunsOwn) {
  const std::string disk = path("disk");
  fs::create_directory(disk);
  const std::string mounted = str("unshare -rm sh -c 'mount -t tmpfs -o size=SIZE tmpfs ", disk, " && ");
  const auto on_disk = [&](const std::string& size, const std::string& what) {
    std::string command = mounted;
    command.replace(command.find("SIZE"), 4, size);
    return run_command(str(command, what, "'"));
  };
  if (on_disk("100k", "true").exit_code != 0) GTEST_SKIP() << "no mounts to be had";
  const Outcome outcome =
      on_disk("100k", str(LIME_PROGRAM, " ", command("disk/out", "--models two_tower --seeds 1")));
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_THAT(outcome.err, testing::ContainsRegex("two_tower-1 failed: .*No space left on device"));
  EXPECT_THAT(outcome.err,
              testing::ContainsRegex("the first that failed: two_tower-1: .*No space left on device"));
  // Full from the beginning: there is no room for a log.
  const Outcome full =
      on_disk("100k", str("{ head -c 200000 /dev/zero > ", disk, "/rest 2>/dev/null; ", LIME_PROGRAM, " ",
                          command("disk/out", "--models two_tower --seeds 1"), "; }"));
  EXPECT_EQ(full.exit_code, 2);
  EXPECT_THAT(full.err, HasSubstr("two_tower-1.log: cannot be written: No space left on device"));
}

}  // namespace
}  // namespace lime
