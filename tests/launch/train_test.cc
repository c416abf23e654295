// Whole runs of the program: the same bits on any number of ranks and over resumes, and what they say.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/hdf5_file.h"
#include "runtime/error.h"
#include "tests/launch/train_runs.h"

namespace lime {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST_F(Train, TheSameBitsOn1And2And4Ranks) {
  for (const int ranks : {1, 2, 4}) train(ranks, str("ranks", ranks), "train.max_steps=20");
  const std::string one = digests("ranks1", 20);
  EXPECT_EQ(one, digests("ranks2", 20));
  EXPECT_EQ(one, digests("ranks4", 20));
  train(2, "seed2", "train.max_steps=20 --set seed=2");
  EXPECT_NE(one, digests("seed2", 20));
}

// Tables in bf16: what rounds them is drawn by the step and not by a rank or a job.
TEST_F(Train, TablesInBf16TheSameBitsOnAnyRanksAndOverResumes) {
  const std::string bf16 = " --set embeddings.type=bf16 --set embeddings.tables.segment.type=f32";
  train(1, "bf16_1", "train.max_steps=12" + bf16);
  const std::string one = digests("bf16_1", 12);
  expect_on_any_ranks("bf16", bf16, one);
  EXPECT_THAT(one, testing::ContainsRegex("/item rows [0-9]+ dim 8 bf16 state"));
  EXPECT_THAT(one, testing::ContainsRegex("/segment rows [0-9]+ dim 8 state"));
  EXPECT_THAT(lime_program("inspect " + path("bf16_1")).out,
              testing::ContainsRegex("\nitem +[0-9]+ +8 +bf16\n"));
  expect_mistake(
      str("train --resume ", path("bf16_1"), " --set train.max_steps=14 --set embeddings.type=f32"),
      "table.action.type is bf16 there, f32 here");
  const Outcome evaluated = lime_program(str("eval ", path("bf16_1"), " --days 2024-01-03"));
  EXPECT_EQ(evaluated.exit_code, 0) << evaluated.err;
}

// Ids that wait for a row: counted once a step, on whatever rank, and over resumes.
TEST_F(Train, IdsThatWaitTheSameBitsOnAnyRanksAndOverResumes) {
  const std::string waits = " --set embeddings.admit_after=3 --set embeddings.tables.segment.admit_after=1";
  const Outcome outcome = lime_program(train_command("waits_1", "train.max_steps=12" + waits));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const std::string one = digests("waits_1", 12);
  expect_on_any_ranks("waits", waits, one);
  EXPECT_THAT(one, testing::ContainsRegex("/user rows [1-9][0-9]* dim 8 [^\n]* waiting [1-9][0-9]* id"));
  EXPECT_THAT(one, Not(testing::ContainsRegex("/segment rows [^\n]* waiting")));
  EXPECT_THAT(outcome.err, testing::ContainsRegex("tables: [0-9,]+ rows, [1-9][0-9,]* ids wait for one\n"));
  EXPECT_THAT(outcome.err, HasSubstr("(in 3 steps; 32 until then)"));
  const std::string said = lime_program("inspect " + path("waits_1")).out;
  EXPECT_THAT(said, testing::ContainsRegex(" rows in [0-9]+ tables, [1-9][0-9,]* ids wait for one\n"));
  EXPECT_THAT(said, testing::ContainsRegex("\ntable +rows +columns +waiting ids\n"));
  EXPECT_THAT(said, testing::ContainsRegex("\nuser +[0-9,]+ +8 +[1-9][0-9,]*\n"));
  const Outcome evaluated = lime_program(str("eval ", path("waits_1"), " --days 2024-01-03"));
  EXPECT_EQ(evaluated.exit_code, 0) << evaluated.err;
  // Counts are of steps, and mean the same under another number.
  resume(1, "waits_1", "train.max_steps=13 --set embeddings.admit_after=1");
  EXPECT_THAT(digests("waits_1", 13), Not(HasSubstr(" waiting ")));
}

// Scores begin at the base rate of the first batch, not at one half; those of other weights where they were.
TEST_F(Train, ScoresBeginAtTheBaseRate) {
  const std::string unlearned = "train.max_steps=1 --set train.learning_rate=0 --set train.batch_requests=24";
  train(1, "rate", unlearned);
  const auto bias = [](const std::string& run) {
    return Hdf5File(checkpoint(run, 1) + "/dense.h5", Hdf5File::Mode::read)
        .read<float>("/parameters/head.out.bias");
  };
  const auto manifest = nlohmann::json::parse(read_file(checkpoint("rate", 1) + "/manifest.json"));
  const auto extra = [&](const char* name) {
    return std::strtod(manifest["extra"][name].get<std::string>().c_str(), nullptr);
  };
  const double positives = extra("entropy.labels.click"), candidates = extra("entropy.weight.click");
  ASSERT_NE(2 * positives, candidates);  // whose log-odds are 0
  ASSERT_EQ(bias("rate").size(), 1u);
  EXPECT_FLOAT_EQ(bias("rate")[0],
                  static_cast<float>(std::log((positives + 0.5) / (candidates - positives + 0.5))));
  train(1, "others_rate",
        unlearned + " --set data.train=2024-01-03 --set seed=2 --set train.from=" + path("rate"));
  EXPECT_EQ(bias("others_rate"), bias("rate"));
}

// A share of the negatives: drawn by where they stand in the log. Held-out days are scored whole.
TEST_F(Train, AShareOfTheNegativesTheSameBitsOnAnyRanksAndOverResumes) {
  const std::string fewer = " --set data.keep_negatives=0.25";
  const Outcome outcome =
      lime_program(train_command("negatives_1", "train.max_steps=12 --set data.eval=2024-01-03" + fewer));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.err,
              HasSubstr("\nnegatives: 25 % of them, drawn anew each epoch, each weighs 4 times"));
  EXPECT_THAT(outcome.err, testing::ContainsRegex("\n +all +540 "));  // 60 users, 3 requests of 3 candidates
  const std::string one = digests("negatives_1", 12);
  expect_on_any_ranks("negatives", fewer, one);

  train(1, "all_negatives", "train.max_steps=12");
  EXPECT_NE(one, digests("all_negatives", 12));
  const auto candidates = [](const std::string& run) {
    int64_t sum = 0;
    for (const auto& line : metrics(run))
      if (line.at("kind") == "train") sum += line.at("candidates").get<int64_t>();
    return sum;
  };
  EXPECT_LT(candidates("negatives_1"), candidates("all_negatives") * 3 / 4);
  EXPECT_GT(candidates("negatives_1"), candidates("all_negatives") / 4);
}

TEST_F(Train, ABatchOfWhichNothingIsLeftIsNoStepAndNoEnd) {
  train(1, "nothing_left",
        "data.keep_negatives=0.001 --set train.batch_requests=1 --set train.micro_batches=1");
  int64_t requests = 0, steps = 0;
  for (const auto& line : metrics("nothing_left")) {
    EXPECT_EQ(line.at("requests"), 1);
    ++requests, steps = line.at("step");
  }
  EXPECT_EQ(requests, steps);
  EXPECT_GT(requests, 200);  // of 360
  EXPECT_LT(requests, 350);
}

TEST_F(Train, ThreeRanksAgreeToRounding) {
  train(1, "one", "train.max_steps=20");
  train(3, "three", "train.max_steps=20");
  EXPECT_LT(relative_difference("one", "three", 20), 1e-5);
}

TEST_F(Train, FiveStepsStopResumeAndFiveAreTenOnAnyRanks) {
  train(2, "whole", "train.max_steps=10");
  train(2, "halves", "train.max_steps=5");
  resume(4, "halves", "train.max_steps=8");
  resume(1, "halves", "train.max_steps=10");
  EXPECT_EQ(digests("whole", 10), digests("halves", 10));
  std::vector<int64_t> steps;
  for (const auto& line : metrics("halves"))
    if (line.at("kind") == "train") steps.push_back(line.at("step"));
  EXPECT_THAT(steps, testing::ElementsAre(1, 2, 3, 4, 5, 6, 7, 8, 9, 10));
}

TEST_F(Train, EveryRequestOnceAnEpochThoughRanksRunDryAtDifferentSteps) {
  for (const int ranks : {1, 4}) {
    const std::string run = str("epochs", ranks);
    train(ranks, run, "train.epochs=2 --set train.batch_history_tokens=64");
    int64_t requests = 0;
    for (const auto& line : metrics(run)) requests += line.at("requests").get<int64_t>();
    EXPECT_EQ(requests, 2 * 2 * 60 * 3);  // epochs x days x users x requests
  }
}

TEST_F(Train, EvaluationAndPredictionAreTheSameOnAnyRanks) {
  train(2, "scored", "train.max_steps=10");
  const auto evaluate = [&](int ranks) {
    const std::string json = path(str("eval", ranks, ".json"));
    const Outcome outcome = lime_program_on(
        ranks, str("eval ", path("scored"), " --days 2024-01-03 --history both --json ", json));
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    return read_file(json);
  };
  const std::string one = evaluate(1);
  EXPECT_THAT(one, HasSubstr("frozen"));
  EXPECT_EQ(one, evaluate(2));
  EXPECT_EQ(one, evaluate(4));
  std::vector<std::vector<float>> scores;
  for (const int ranks : {1, 3}) {
    const std::string out = path(str("scores", ranks, ".h5"));
    const Outcome outcome =
        lime_program_on(ranks, str("predict ", path("scored"), " --days 2024-01-03 --out ", out));
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    scores.push_back(Hdf5File(out, Hdf5File::Mode::read).read<float>("/score/click"));
  }
  EXPECT_EQ(scores[0].size(), 60u * 3 * 3);
  EXPECT_EQ(scores[0], scores[1]);
}

TEST_F(Train, EightRanksOverAResumeTheEndOfTheDataAndPrediction) {
  const std::string settings =
      str("data.path=", few_users(), " --set train.micro_batches=8 --set train.epochs=2");
  train(1, "alone", settings);
  const int last = static_cast<int>(metrics("alone").back().at("step").get<int64_t>());
  ASSERT_GT(last, 4);
  train(8, "eight", settings + " --set train.max_steps=2");
  resume(2, "eight", "train.max_steps=4");
  resume(8, "eight", "train.max_steps=0");
  EXPECT_EQ(digests("alone", last), digests("eight", last));
  std::vector<std::string> scored;
  for (const int ranks : {1, 8}) {
    const std::string out = path(str("few", ranks, ".h5")), json = path(str("few", ranks, ".json"));
    const Outcome evaluated =
        lime_program_on(ranks, str("eval ", path("eight"), " --days 2024-01-03 --json ", json));
    EXPECT_EQ(evaluated.exit_code, 0) << evaluated.err;
    const Outcome predicted =
        lime_program_on(ranks, str("predict ", path("eight"), " --days 2024-01-03 --out ", out));
    EXPECT_EQ(predicted.exit_code, 0) << predicted.err;
    scored.push_back(read_file(json) + read_file(out));
  }
  EXPECT_EQ(scored[0], scored[1]);
}

// A token budget: batches are planned by how long histories are, and so are the schedule and the ETA.
TEST_F(Train, UnderATokenBudgetTheEpochIsPlannedAndEven) {
  const std::string settings =
      "train.batch_history_tokens=400 --set train.batch_requests=64 --set train.schedule=linear";
  const Outcome outcome = lime_program(train_command("budget_1", settings));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  std::vector<int64_t> tokens, requests;
  for (const auto& line : metrics("budget_1")) {
    tokens.push_back(line.at("history_tokens"));
    requests.push_back(line.at("requests"));
    EXPECT_LE(tokens.back(), 400);
  }
  EXPECT_GT(tokens.size(), 8u);
  EXPECT_GT(2 * requests.back(), *std::ranges::max_element(requests));
  const auto last = static_cast<int>(metrics("budget_1").back().at("step").get<int64_t>());
  EXPECT_THAT(outcome.err, HasSubstr(str("\nstep ", last, "/", last, " ")));
  EXPECT_EQ(metrics("budget_1").back().at("learning_rate"), 0);

  train(2, "budget_2", settings);
  train(4, "budget_parts",
        settings + " --set train.max_steps=5 --set train.schedule_steps=" + std::to_string(last));
  resume(1, "budget_parts", "train.max_steps=0");
  const std::string one = digests("budget_1", last);
  EXPECT_EQ(one, digests("budget_2", last));
  EXPECT_EQ(one, digests("budget_parts", last));

  // Ranks whose own shards need fewer batches than others'.
  const std::string few =
      str("data.path=", few_users(), " --set train.micro_batches=8 --set train.batch_requests=64",
          " --set train.batch_history_tokens=320");
  train(1, "few_1", few);
  train(4, "few_4", few);
  const auto end = static_cast<int>(metrics("few_1").back().at("step").get<int64_t>());
  ASSERT_GT(end, 2);
  EXPECT_EQ(digests("few_1", end), digests("few_4", end));
}

TEST_F(Train, TheLastStepIsTheOneThatWasPlanned) {
  const Outcome outcome = lime_program(train_command("planned", "data.path=" + few_users()));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const auto last = std::to_string(metrics("planned").back().at("step").get<int64_t>());
  EXPECT_THAT(outcome.err, HasSubstr(str("\nstep ", last, "/", last, " ")));
}

// So are the schedule and the ETA of a run that may have more steps than its days have.
TEST_F(Train, MoreStepsThanTheDataHasAreNotPlanned) {
  const std::string settings = "train.batch_requests=64 --set train.schedule=linear";
  train(1, "all_steps", settings);
  const Outcome outcome = lime_program(train_command("beyond", settings + " --set train.max_steps=1000"));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const auto last = metrics("beyond").back().at("step").get<int>();
  EXPECT_THAT(outcome.err, HasSubstr(str("\nstep ", last, "/", last, " ")));
  EXPECT_EQ(metrics("beyond").back().at("learning_rate"), 0);
  EXPECT_EQ(digests("beyond", last), digests("all_steps", last));

  // With more epochs it goes on as if they had been asked for at once.
  resume(2, "beyond", "train.epochs=2");
  EXPECT_EQ(metrics("beyond").back().at("step"), 2 * last);
  EXPECT_EQ(metrics("beyond").back().at("learning_rate"), 0);
  const double rate = metrics("beyond").at(static_cast<size_t>(last)).at("learning_rate");
  EXPECT_NEAR(rate, 1e-3 * (last - 1) / (2 * last), 1e-9);
  resume(1, "beyond", str("train.epochs=9 --set train.max_steps=", 3 * last));
  EXPECT_EQ(metrics("beyond").back().at("step"), 3 * last);
  EXPECT_EQ(metrics("beyond").back().at("learning_rate"), 0);
}

TEST_F(Train, ACompleteRunThatIsResumedRepeatsNoLine) {
  const std::string eval = "data.eval=2024-01-03 --set eval.history=both";
  train(2, "evaluated", "data.train=2024-01-01 --set train.max_steps=2 --set " + eval);
  const std::string log = read_file(path("evaluated/metrics.jsonl")),
                    result = read_file(path("evaluated/eval.json"));
  std::filesystem::remove(path("evaluated/eval.json"));
  resume(1, "evaluated", eval);
  EXPECT_EQ(read_file(path("evaluated/metrics.jsonl")), log);
  EXPECT_EQ(read_file(path("evaluated/eval.json")), result);
  resume(1, "evaluated", "data.eval=2024-01-02..2024-01-03");
  const std::string more = read_file(path("evaluated/metrics.jsonl"));
  EXPECT_TRUE(more.starts_with(log));
  EXPECT_THAT(more.substr(log.size()), HasSubstr("2024-01-02"));
}

TEST_F(Train, InspectSaysWhatARunHolds) {
  train(1, "looked_at", "train.max_steps=2 --set data.eval=2024-01-03 --set eval.history=both");
  const Outcome run = lime_program("inspect " + path("looked_at"));
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_THAT(run.out, HasSubstr("lime_xor on " + path("data") + ", trained on 2024-01-01..2024-01-02"));
  EXPECT_THAT(run.out, HasSubstr("\nheld out  history     AUC    GAUC   R-AUC     MRR  nDCG@10      NE"));
  EXPECT_THAT(run.out, testing::ContainsRegex("\nclick +frozen +0\\.[0-9]{4} "));
  EXPECT_THAT(run.out, HasSubstr("checkpoints, newest first: step-000000002\nstep 2, epoch 0, "));
  EXPECT_THAT(run.out, testing::ContainsRegex("\nsegment +[0-9]+ +8\n"));
  EXPECT_THAT(run.out, testing::ContainsRegex("\ninteraction.links +4 +16\n"));
  EXPECT_THAT(run.out, HasSubstr(lime_program("inspect " + checkpoint("looked_at", 2)).out));
  EXPECT_EQ(lime_program("inspect --digests " + path("looked_at")).out, digests("looked_at", 2));
  expect_mistake("inspect --digests " + path("data"), "is a dataset, expected a run or a checkpoint");
  expect_mistake("inspect --verify " + path("looked_at"), "is no dataset");
  expect_mistake("train " + path("looked_at"),
                 "looked_at: is a run, expected a YAML file; to go on with it: lime "
                 "train --resume " +
                     path("looked_at"));
  expect_mistake("train " + path("data"),
                 "data: is a dataset, expected a YAML file; to have one of it: lime configure ");
}

TEST_F(Train, SampleWeightsAreNotedByTask) {
  const Outcome outcome = lime_program(train_command(
      "weighted", "train.max_steps=1 --set 'tasks=[{label: click, sample_weight: watch_time}]'"));
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.err,
              HasSubstr("\nweights: click is learned with those of watch_time; metrics of held-out days "
                        "count rows once, those that weigh 0 never\n"));
  EXPECT_THAT(outcome.err, Not(HasSubstr("\nnegatives:")));
}

TEST_F(Train, DaysLaterThanHeldOutOnesAreNotedOnce) {
  const std::string note = "note: data.train has days later than held-out 2024-01-02: 2024-01-03; ";
  const Outcome later = lime_program_on(
      2, train_command(
             "later", "data.train=2024-01-01,2024-01-03 --set data.eval=2024-01-02 --set train.max_steps=1"));
  EXPECT_EQ(later.exit_code, 0) << later.err;
  ASSERT_THAT(later.err, HasSubstr(note));
  EXPECT_EQ(later.err.find(note), later.err.rfind(note));
  // So do days that first weights have seen.
  const Outcome next = lime_program(
      train_command("before", "data.train=2024-01-01 --set data.eval=2024-01-02 --set train.max_steps=1"));
  EXPECT_EQ(next.exit_code, 0) << next.err;
  EXPECT_THAT(next.err, Not(HasSubstr("note:")));
  train(1, "seen", "data.train=2024-01-03 --set train.max_steps=1");
  const Outcome from = lime_program(train_command(
      "from_seen",
      str("data.train=2024-01-01 --set data.eval=2024-01-02 --set train.max_steps=1 --from ", path("seen"))));
  EXPECT_EQ(from.exit_code, 0) << from.err;
  EXPECT_THAT(from.err, HasSubstr("note: data.seen has days later than held-out 2024-01-02: 2024-01-03; "));
}

TEST_F(Train, TheFirstStepsTimeHoldsItsWaitForData) {
  train(1, "first_step", "train.max_steps=1");
  const auto line = metrics("first_step").front();
  // The wait is 0 where the reader was first.
  EXPECT_LE(line.at("data_wait_ms").get<double>(), line.at("step_ms").get<double>());
}

}  // namespace
}  // namespace lime
