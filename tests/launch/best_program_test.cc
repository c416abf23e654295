// Runs that keep their best checkpoint, as a user has them: what is left on the disk and what readers take,
// after stops and kills, on any number of ranks; and runs that end because nothing gets better.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "tests/launch/train_runs.h"

namespace lime {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

class Best : public Train {
 protected:
  static constexpr int last = 48, every = 4;

  static void SetUpTestSuite() {
    Train::SetUpTestSuite();
    generate_log(path("many"), {.users = 300});
  }
  // A day of 300 users again and again, learned by heart: NE falls for half of the steps, and then rises.
  static std::string settings(const std::string& more = "") {
    return str("data.path=", path("many"), " --set data.train=2024-01-01 --set data.eval=2024-01-03",
               " --set train.batch_requests=64 --set train.epochs=9 --set train.max_steps=", last,
               " --set train.eval_every=", every, " --set train.keep_checkpoints=1",
               " --set train.learning_rate=0.01 --set embeddings.learning_rate=0.1 --set train.best=click.ne",
               more);
  }
  // One that nobody disturbs, on 2 ranks.
  static const std::string& whole() {
    static const std::string run = "whole";
    if (!fs::exists(path(run))) train(2, run, settings());
    return run;
  }
  static std::map<int, double> ne_by_step(const std::string& run) {
    std::map<int, double> values;
    for (const auto& line : metrics(run))
      if (line.at("kind") == "eval" && line.at("day") == "all") values[line.at("step")] = line.at("ne");
    return values;
  }
  static int best_step(const std::string& run) {
    const auto values = ne_by_step(run);
    return std::min_element(values.begin(), values.end(),
                            [](auto& a, auto& b) { return a.second < b.second; })
        ->first;
  }
  static std::string name(int step) { return fs::path(checkpoint("x", step)).filename(); }
  static std::vector<std::string> checkpoints(const std::string& run) {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(path(run + "/checkpoints")))
      names.push_back(entry.path().filename());
    std::ranges::sort(names);
    return names;
  }
  static nlohmann::json json(const std::string& file) { return nlohmann::json::parse(read_file(path(file))); }
  static void expect_same_result(const std::string& run) {
    EXPECT_EQ(read_file(path(run + "/best.json")), read_file(path(whole() + "/best.json")));
    EXPECT_EQ(read_file(path(run + "/eval.json")), read_file(path(whole() + "/eval.json")));
    EXPECT_EQ(ne_by_step(run), ne_by_step(whole()));
    for (const int step : {best_step(whole()), last})
      EXPECT_EQ(digests(run, step), digests(whole(), step)) << step;
  }
  static void expect_ends_as_whole(const std::string& run) {
    expect_same_result(run);
    EXPECT_EQ(checkpoints(run), checkpoints(whole()));
  }
  // As a job leaves a run that ends after its best evaluation, before anything is known of it.
  static void stopped_at_best(const std::string& run) {
    const int best = best_step(whole());
    train(2, run, settings(str(" --set train.checkpoint_every=", every, " --set train.keep_checkpoints=99")));
    const auto values = ne_by_step(run);
    int before = every;  // the best before
    for (const auto& [step, ne] : values) {
      if (step < best && ne < values.at(before)) before = step;
      if (step > best) fs::remove_all(checkpoint(run, step));
    }
    auto json = nlohmann::json::parse(read_file(path(run + "/best.json")));
    json["checkpoint"] = name(before);
    json["value"] = values.at(before);
    write_file(path(run + "/best.json"), json.dump());
    fs::remove(path(run + "/eval.json"));
  }
  static std::string at_the_end() {
    return str("train.checkpoint_every=0 --set train.keep_checkpoints=1 --set train.max_steps=", last);
  }
  static std::string program(const std::string& arguments) {
    const Outcome outcome = lime_program(arguments);
    EXPECT_EQ(outcome.exit_code, 0) << arguments << "\n" << outcome.err;
    return outcome.out;
  }
};

TEST_F(Best, IsKeptBesideTheNewestAndIsTheRunsResult) {
  const int best = best_step(whole());
  ASSERT_GT(best, 3 * every);
  ASSERT_LT(best, last - 3 * every);
  EXPECT_THAT(checkpoints(whole()), ElementsAre(name(best), name(last)));
  const auto record = json("whole/best.json"), result = json("whole/eval.json")[0];
  EXPECT_EQ(record.at("checkpoint"), name(best));
  EXPECT_EQ(record.at("value").get<double>(), ne_by_step(whole()).at(best));
  EXPECT_EQ(result.at("checkpoint"), name(best));
  EXPECT_EQ(result.at("tasks")[0].at("all").at("ne"), record.at("value"));
  EXPECT_THAT(program("inspect " + path(whole())),
              AllOf(HasSubstr(str("held-out days with ", name(best), ":\n")),
                    HasSubstr(str("best checkpoint: ", name(best), ", click.ne 0.")),
                    HasSubstr(str("newest first: ", name(last), " ", name(best), "\n"))));
  // Bits are those of a run that keeps everything and has no best.
  train(1, "all",
        settings(" --set train.best= --set train.checkpoint_every=1 --set train.keep_checkpoints=99"));
  EXPECT_FALSE(fs::exists(path("all/best.json")));
  EXPECT_EQ(digests("all", best), digests(whole(), best));
}

TEST_F(Best, IsWhatReadersTake) {
  const int best = best_step(whole());
  const std::string run = path(whole());
  const auto scores = [&](const std::string& choice) {
    const std::string out = path("scores.h5");
    EXPECT_THAT(program(str("predict ", run, " --days 2024-01-03 --out ", out, choice)), HasSubstr("wrote"));
    return read_file(out);
  };
  EXPECT_EQ(scores(""), scores(" --checkpoint best"));
  EXPECT_EQ(scores(""), scores(" --checkpoint " + name(best)));
  EXPECT_NE(scores(""), scores(" --checkpoint newest"));
  EXPECT_EQ(scores(" --checkpoint newest"), scores(" --checkpoint " + name(last)));
  program(str("eval ", run, " --json ", path("eval.json")));
  EXPECT_EQ(read_file(path("eval.json")), read_file(run + "/eval.json"));
  EXPECT_THAT(program("eval " + run + " --checkpoint newest"), HasSubstr(name(last)));
  EXPECT_THAT(program("importance " + run + " --features user.user --resamples 0"), HasSubstr(name(best)));
  EXPECT_THAT(program("cache build " + run + " --out " + path("cache.h5")), HasSubstr(name(best)));
  program(str("score ", run, " --cache ", path("cache.h5"), " --requests 2024-01-03"));
  expect_mistake(
      str("score ", run, " --cache ", path("cache.h5"), " --requests 2024-01-03 --checkpoint newest"),
      "was built from " + name(best));
  train(1, "next", str("data.train=2024-01-02 --set train.max_steps=1 --from ", run));
  EXPECT_THAT(read_file(path("next/config.yaml")), HasSubstr(name(best)));
  // The rows of the evaluation at the end are of the same weights.
  train(1, "rows", settings(" --rows " + path("rows.h5")));
  program(str("eval ", run, " --rows ", path("again.h5")));
  EXPECT_EQ(read_file(path("rows.h5")), read_file(path("again.h5")));
}

TEST_F(Best, IsTheSameOverResumesOnOtherRanks) {
  train(4, "parts", settings(" --set train.max_steps=12"));
  resume(1, "parts", "train.max_steps=28");
  resume(2, "parts", str("train.max_steps=", last));
  expect_ends_as_whole("parts");
}

// The states that a kill leaves around the evaluation that is the best.
TEST_F(Best, KilledAroundItsEvaluation) {
  const int best = best_step(whole());
  // Evaluated and saved, but not recorded.
  stopped_at_best("unrecorded");
  resume(4, "unrecorded", at_the_end());
  expect_ends_as_whole("unrecorded");
  // Saved, but not evaluated.
  stopped_at_best("unevaluated");
  std::string lines;
  for (const auto& line : metrics("unevaluated"))
    if (line.at("step") < best || (line.at("step") == best && line.at("kind") == "train"))
      lines += line.dump() + "\n";
  write_file(path("unevaluated/metrics.jsonl"), lines);
  resume(1, "unevaluated", at_the_end());
  expect_ends_as_whole("unevaluated");
  // Evaluated, but not saved: it is done again.
  stopped_at_best("unsaved");
  fs::remove_all(checkpoint("unsaved", best));
  fs::create_directory(checkpoint("unsaved", best) + ".partial");
  resume(2, "unsaved", at_the_end());
  expect_ends_as_whole("unsaved");
}

// A full disk, or a kill, left the line of the day and not that of all days.
TEST_F(Best, HalfAnEvaluationIsMadeAgain) {
  const int best = best_step(whole());
  stopped_at_best("half");
  std::string lines;
  bool begun = false;
  for (const auto& line : metrics("half")) {
    if (begun || line.at("step") > best) break;
    begun = line.at("step") == best && line.at("kind") == "eval";
    lines += line.dump() + "\n";
  }
  ASSERT_TRUE(begun);
  write_file(path("half/metrics.jsonl"), lines);
  resume(2, "half", at_the_end());
  expect_ends_as_whole("half");
}

TEST_F(Best, KilledAtAnyMomentOneIsWhole) {
  const std::string often = settings(" --set train.checkpoint_every=1");
  train_until(str("[ -f ", path("killed/best.json"), " ]"), "KILL", "killed", often);
  for (int attempt = 0; attempt < 8; ++attempt) {
    checkpoint_digests(path("killed/checkpoints/") +
                       json("killed/best.json").at("checkpoint").get<std::string>());
    run_command(
        str("timeout -s KILL 0.", 14 + 4 * attempt, " ", LIME_PROGRAM, " train --resume ", path("killed")));
  }
  resume(2, "killed", "train.checkpoint_every=0");
  expect_same_result("killed");  // killed after its last save it may have left some more
}

TEST_F(Best, PatienceEndsTheRunOnAnyRanks) {
  const int best = best_step(whole());
  const int end = best + 2 * every;
  const std::string patient = settings(" --set train.patience=2");
  const std::string says = str("2 evaluations without a better click.ne than that of step ", best);
  for (const int ranks : {1, 2}) {
    const std::string run = str("patient", ranks);
    const Outcome outcome = lime_program_on(ranks, train_command(run, patient));
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr(str("done: ", end, " steps, ended by train.patience (", says, "), ")));
    EXPECT_THAT(checkpoints(run), ElementsAre(name(best), name(end)));
    EXPECT_EQ(ne_by_step(run).rbegin()->first, end);
    EXPECT_EQ(read_file(path(run + "/eval.json")), read_file(path(whole() + "/eval.json")));
  }
  EXPECT_EQ(digests("patient1", end), digests("patient2", end));
  EXPECT_THAT(digests("patient1", end), HasSubstr("finished yes"));
  // It has ended, whoever looks.
  const auto lines = metrics("patient2");
  const Outcome again = lime_program("train --resume " + path("patient2"));
  EXPECT_EQ(again.exit_code, 0) << again.err;
  EXPECT_THAT(again.err, HasSubstr(str("nothing to do: the run is complete at step ", end, ", after ", says,
                                       "; raise train.patience to go on\n")));
  EXPECT_EQ(metrics("patient2"), lines);
  EXPECT_EQ(digests("patient1", end), digests("patient2", end));
  // With more of it the run goes on as if it had never stopped.
  resume(4, "patient2", "train.patience=0");
  expect_ends_as_whole("patient2");
}

// Killed between the last evaluation and the end.
TEST_F(Best, PatienceThatIsOverIsKnownToTheNextJob) {
  const int end = best_step(whole()) + 2 * every;
  train(1, "over",
        settings(str(" --set train.checkpoint_every=", every, " --set train.keep_checkpoints=99")));
  for (int step = end + every; step <= last; step += every) fs::remove_all(checkpoint("over", step));
  fs::remove(path("over/eval.json"));
  const Outcome outcome = lime_program_on(2, str("train --resume ", path("over"), " --set train.patience=2"));
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr(str("done: ", end, " steps, ended by train.patience (2 evaluations")));
  EXPECT_THAT(digests("over", end), HasSubstr("finished yes"));
  EXPECT_EQ(read_file(path("over/eval.json")), read_file(path(whole() + "/eval.json")));
}

TEST_F(Best, Mistakes) {
  const auto mistake = [](const std::string& settings, const std::string& says) {
    expect_mistake(train_command("mistaken", "data.train=2024-01-01 --set " + settings), says);
    EXPECT_FALSE(fs::exists(path("mistaken")));
  };
  mistake("data.eval=2024-01-03 --set train.eval_every=2 --set train.best=click.acu",
          "train.best: found 'click.acu', expected one of click.auc, ");
  mistake("data.eval=2024-01-03 --set train.eval_every=2 --set train.best=click.acu",
          "(did you mean 'click.auc'?)");
  mistake("data.eval=2024-01-03 --set train.best=click.auc",
          "train.best: found 'click.auc', but train.eval_every is 0");
  mistake("train.eval_every=2 --set train.best=click.auc", "data.eval names no days");
  mistake("data.eval=2024-01-03 --set train.eval_every=2 --set train.patience=2",
          "train.patience: found 2, but train.best is empty");
  write_file(path("rows.csv"),
             "user,item,time,click\n1,5,1704067200,1\n1,6,1704067300,0\n2,5,1704240000,1\n");
  write_file(path("rows.yaml"),
             "impressions: {files: rows.csv, user: user, item: item, time: {column: time, unit: s}, "
             "labels: {click: click}, event: all}\n");
  program(str("import csv --mapping ", path("rows.yaml"), " --out ", path("single")));
  write_file(path("single.yaml"),
             str("data: {path: ", path("single"), ", train: 2024-01-01, eval: 2024-01-03}\n",
                 "tasks: [click]\ntrain: {eval_every: 2, best: click.mrr}\n"));
  expect_mistake(
      str("train ", path("single.yaml"), " --out ", path("mistaken")),
      "train.best: found 'click.mrr', but the requests of data.eval (2024-01-03) have one candidate "
      "each, and no order: expected another metric, such as click.auc");
  train(1, "plain", "train.max_steps=1");
  expect_mistake(str("eval ", path("plain"), " --days 2024-01-03 --checkpoint best"), "has no best.json");
  EXPECT_THAT(program("inspect " + path("plain")), Not(HasSubstr("best")));
}

}  // namespace
}  // namespace lime
