// Signals to the program while it does what keeps nothing midway: it ends soon, says so in one line, and
// leaves nothing behind that looks whole, or half.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/launch/train_runs.h"

namespace lime {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

// An evaluation of a second or more, in hundreds of batches.
constexpr const char* slow_evaluation =
    " --set data.eval=2024-01-03 --set eval.batch_requests=1 --set model.width=128 --set model.heads=4"
    " --set model.links=32 --set model.blocks=6";

class Interruption : public Train {
 protected:
  static void SetUpTestSuite() {
    Train::SetUpTestSuite();
    generate_log(path("long"), {.users = 500});
  }
  static std::string settings(const std::string& more) {
    return str("data.path=", path("long"), slow_evaluation, " --set ", more);
  }
  // Sends the signal as soon as the shell's condition holds; what the program has done by then is not over.
  static Outcome signal_when(const std::string& condition, const char* signal, const std::string& command) {
    return run_command(str(command, " & until ", condition, " || ! kill -0 $!; do sleep 0.01; done; kill -s ",
                           signal, " $!; wait $!"));
  }
  static std::string program(const std::string& arguments) { return str(LIME_PROGRAM, " ", arguments); }
  static void expect_stopped(const Outcome& outcome, const std::string& name, int code) {
    EXPECT_EQ(outcome.exit_code, code) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr(str("lime: stopped by ", name, "; nothing was written\n")));
    EXPECT_TRUE(outcome.error_lines().empty()) << outcome.err;
    EXPECT_EQ(outcome.out, "");
  }
  // Names in the folder of this test that begin so.
  static std::vector<std::string> left(const std::string& beginning) {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(path("")))
      if (const std::string name = entry.path().filename(); name.starts_with(beginning))
        names.push_back(name);
    return names;
  }
  static std::vector<nlohmann::json> evaluations(const std::string& run) {
    std::vector<nlohmann::json> lines = metrics(run);
    std::erase_if(lines, [](const auto& line) { return line.at("kind") != "eval"; });
    return lines;
  }
};

TEST_F(Interruption, AnEvaluationAtTheEndIsLeftAndMadeUpFor) {
  train(1, "whole", settings("train.max_steps=2"));
  const Outcome stopped =
      train_until(str("[ -d ", checkpoint("left", 2), " ]"), "INT", "left", settings("train.max_steps=2"));
  EXPECT_EQ(stopped.exit_code, 0) << stopped.err;
  EXPECT_THAT(stopped.err,
              HasSubstr(str("stopped in the evaluation at the end; the run is complete at step 2, "
                            "evaluate it with: lime train --resume ",
                            path("left"), ", or lime eval ", path("left"), "\n")));
  EXPECT_FALSE(std::filesystem::exists(path("left/eval.json")));
  EXPECT_TRUE(evaluations("left").empty());
  EXPECT_EQ(lime_program("train --resume " + path("left")).exit_code, 0);
  EXPECT_EQ(held_out_auc(path("left")), held_out_auc(path("whole")));
  EXPECT_EQ(evaluations("left"), evaluations("whole"));
  // What is said of a run is not of fewer steps than it has.
  const Outcome again =
      signal_when(str("[ -d ", checkpoint("left", 3), " ]"), "TERM",
                  program(str("train --resume ", path("left"), " --set train.max_steps=3")));
  EXPECT_THAT(again.err, HasSubstr("the run is complete at step 3"));
  EXPECT_FALSE(std::filesystem::exists(path("left/eval.json")));
}

TEST_F(Interruption, AnEvaluationOnTheWayIsDoneAgainByTheNextJob) {
  const std::string often = settings("train.max_steps=4 --set train.eval_every=2");
  train(1, "often", often);
  std::vector<double> step_ms;
  for (const auto& line : metrics("often"))
    if (line.at("kind") == "train") step_ms.push_back(line.at("step_ms"));
  EXPECT_LT(step_ms.at(2), 10 * std::max(step_ms.at(1), step_ms.at(3)));  // without the evaluation's time
  const Outcome stopped =
      train_until(str("grep -qs '\"step\":2' ", path("given_up/metrics.jsonl")), "TERM", "given_up", often);
  EXPECT_EQ(stopped.exit_code, 0) << stopped.err;
  EXPECT_THAT(stopped.err,
              HasSubstr(str("stopped at step 2, in its evaluation; go on with: lime train --resume ",
                            path("given_up"), "\n")));
  EXPECT_TRUE(evaluations("given_up").empty());
  resume(2, "given_up", "train.max_steps=4");
  EXPECT_EQ(digests("given_up", 4), digests("often", 4));
  EXPECT_EQ(evaluations("given_up"), evaluations("often"));  // of steps 2 and 4, each once
  // Once it is there it is not done again.
  const Outcome more = lime_program(str("train --resume ", path("given_up"), " --set train.max_steps=5"));
  EXPECT_EQ(more.exit_code, 0) << more.err;
  EXPECT_THAT(more.err, Not(HasSubstr("held-out days at step 4")));
}

TEST_F(Interruption, EvalAndPredictEndSoonAndLeaveNothing) {
  train(1, "scored", settings("train.max_steps=1"));
  const std::string rows = path("rows.h5"), scores = path("scores.h5");
  for (const auto& [signal, code] : {std::pair("INT", 130), std::pair("TERM", 143)}) {
    expect_stopped(
        signal_when(str("[ -f ", rows, ".partial ]"), signal,
                    program(str("eval ", path("scored"), " --rows ", rows, " --json ", path("rows.json")))),
        str("SIG", signal), code);
    expect_stopped(signal_when(str("[ -f ", scores, ".partial ]"), signal,
                               program(str("predict ", path("scored"), " --days 2024-01-03 --out ", scores))),
                   str("SIG", signal), code);
  }
  // mpirun passes SIGUSR1 on, and adds lines of its own.
  const Outcome ranks =
      signal_when(str("[ -f ", scores, ".partial ]"), "USR1",
                  str(LIME_MPIEXEC, " -np 2 ",
                      program(str("predict ", path("scored"), " --days 2024-01-03 --out ", scores))));
  EXPECT_EQ(ranks.exit_code, 138) << ranks.err;
  const std::string line = "lime: stopped by SIGUSR1; nothing was written\n";
  ASSERT_THAT(ranks.err, HasSubstr(line));
  EXPECT_EQ(ranks.err.find(line), ranks.err.rfind(line)) << ranks.err;
  EXPECT_TRUE(left("rows").empty());
  EXPECT_TRUE(left("scores").empty());
}

TEST_F(Interruption, AnImportAndAGeneratorLeaveNothing) {
  const std::string made = path("made"), partial = str("ls -d ", made, ".partial-* >/dev/null 2>&1");
  for (const auto& [signal, code] : {std::pair("INT", 130), std::pair("TERM", 143)})
    expect_stopped(signal_when(partial, signal, program("generate --users 200000 --out " + made)),
                   str("SIG", signal), code);
  EXPECT_TRUE(left("made").empty());
  // The signal ends the gzip that reads for the program as well, as Ctrl-C does: that is no damaged log. Rows
  // are long, so that few of them are still in the pipe.
  const std::string log = path("rows.csv.gz");
  const Outcome written = run_command(str("{ echo user,item,time,click,note; yes 1,2,1704067200,1,",
                                          std::string(400, 'x'), " | head -n 1000000; } | gzip -1 > ", log));
  ASSERT_EQ(written.exit_code, 0) << written.err;
  write_file(path("mapping.yaml"),
             "impressions: {files: rows.csv.gz, user: user, item: item, time: {column: time, unit: s}, "
             "labels: {click: click}}\n");
  const std::string import = program(str("import csv --mapping ", path("mapping.yaml"), " --out ", made));
  expect_stopped(
      run_command(str("setsid ", import, " & until ", partial,
                      " || ! kill -0 $!; do sleep 0.01; done; sleep 0.1; kill -s TERM -- -$!; wait $!")),
      "SIGTERM", 143);
  EXPECT_TRUE(left("made").empty());
}

TEST_F(Interruption, ARankingLeavesNothing) {
  train(1, "cached", settings("train.max_steps=1 --set model.max_positions=64 --set data.max_history=40"));
  const std::string best = path("best.h5");
  expect_stopped(signal_when(str("[ -f ", best, ".partial ]"), "INT",
                             program(str("score ", path("cached"), " --requests 2024-01-03 --out ", best))),
                 "SIGINT", 130);
  EXPECT_TRUE(left("best").empty());
}

}  // namespace
}  // namespace lime
