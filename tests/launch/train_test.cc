// Whole runs of the program: the same bits on any number of ranks, over stops, resumes and kills; and what a
// user can do wrong with data, days, runs and checkpoints.
#include "tests/launch/train_runs.h"

namespace lime {
namespace {

namespace fs = std::filesystem;
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

TEST_F(Train, ASignalCheckpointsAndTheRunGoesOn) {
  train(1, "untouched", "train.epochs=6");
  const std::string steps = str("[ -s ", path("signalled/metrics.jsonl"), " ]");
  const Outcome stopped = train_until(steps, "TERM", "signalled", "train.epochs=6");
  EXPECT_EQ(stopped.exit_code, 0) << stopped.err;
  EXPECT_LT(metrics("signalled").size(), metrics("untouched").size());
  resume(2, "signalled", "train.epochs=6");
  const int last = static_cast<int>(metrics("untouched").back().at("step").get<int64_t>());
  EXPECT_EQ(digests("untouched", last), digests("signalled", last));
}

TEST_F(Train, AKilledRunGoesOnFromItsLastCheckpoint) {
  train(1, "calm", "train.epochs=4");
  const int last = static_cast<int>(metrics("calm").back().at("step").get<int64_t>());
  // A checkpoint every step: most of the run's time is writing them, so a kill is likely to hit one.
  const std::string settings = "train.epochs=4 --set train.checkpoint_every=1 --set train.keep_checkpoints=2";
  train_until(str("ls ", path("killed/checkpoints"), " | grep -q '^step-'"), "KILL", "killed", settings);
  for (int attempt = 0; attempt < 3; ++attempt)
    run_command(
        str("timeout -s KILL 0.", 6 + attempt, " ", LIME_PROGRAM, " train --resume ", path("killed")));
  resume(2, "killed", "train.checkpoint_every=0");
  EXPECT_EQ(digests("calm", last), digests("killed", last));
}

TEST_F(Train, ALossThatIsNotFiniteStopsAndKeepsTheLastCheckpoint) {
  train(1, "diverges", "train.max_steps=3");
  expect_mistake(str("train --resume ", path("diverges"),
                     " --set train.max_steps=9 --set train.learning_rate=1e30 --set train.clip_norm=0"),
                 "the loss is not finite");
  EXPECT_TRUE(fs::exists(checkpoint("diverges", 3)));
  resume(2, "diverges", "train.max_steps=4");
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

TEST_F(Train, ARankOfEightThatIsKilledEndsTheJobAndIsNamed) {
  const std::string log = path("lost/metrics.jsonl");
  // The fourth rank kills itself once the run is under way.
  write_file(path("ranks.sh"), str("if [ $OMPI_COMM_WORLD_RANK = 3 ]; then\n"
                                   "  (for i in $(seq 300); do [ -s ",
                                   log,
                                   " ] && break; sleep 0.1; done\n"
                                   "   kill -KILL $$) &\n"
                                   "fi\n"
                                   "exec ",
                                   LIME_PROGRAM, " ", train_command("lost", "data.path=" + few_users()),
                                   " --set train.micro_batches=8 --set train.epochs=1000000\n"));
  const Outcome outcome = run_command(str("timeout 60 ", LIME_MPIEXEC, " -np 8 sh ", path("ranks.sh")));
  EXPECT_EQ(outcome.exit_code, 128 + 9) << outcome.err;
  EXPECT_LT(outcome.seconds, 20);
  EXPECT_THAT(outcome.err, HasSubstr("rank 3"));
  EXPECT_THAT(outcome.err, HasSubstr("signal 9"));
}

TEST_F(Train, MistakesWithDaysDevicesAndDirectories) {
  expect_mistake(train_command("x", "data.train=2023-12-01"), "2023-12-01");
  expect_mistake(train_command("x", "data.eval=2024-01-02..2024-01-03"), "2024-01-02");
  expect_mistake(train_command("x", "data.path=" + path("nowhere")), path("nowhere"));
  expect_mistake(train_command("x", "device=cuda:99"), "device 'cuda");
  expect_mistake(train_command("x", "train.batch_requests=-3"), "train.batch_requests");
  expect_mistake(train_command("x", "features.history=[itme]"), "'item'");
  expect_mistake(train_command("x", "train.micro_batches=8"), "parts");
  EXPECT_FALSE(fs::exists(path("x"))) << "a run that fails in its first checks leaves nothing behind";
  const Outcome many = lime_program_on(5, train_command("x", "train.max_steps=1"));
  EXPECT_EQ(many.exit_code, 2);
  ASSERT_EQ(many.error_lines().size(), 1u) << many.err;
  EXPECT_THAT(many.error_lines()[0], HasSubstr("train.micro_batches"));

  train(1, "taken", "train.max_steps=2");
  expect_mistake(train_command("taken", "train.max_steps=2"), path("taken"));
  expect_mistake(str("eval ", path("taken"), " --days 2024-01-02"), "2024-01-02");
  expect_mistake(str("train --resume ", path("taken"), " --set model.width=32 --set train.max_steps=4"),
                 "model.width");
  EXPECT_TRUE(fs::exists(checkpoint("taken", 2)));
}

TEST_F(Train, APlaceWithinAnEpochIsOfItsDatasetAndItsOrder) {
  train(1, "placed", "train.max_steps=2");
  const std::string resumed = str("train --resume ", path("placed"), " --set train.max_steps=3 --set ");
  generate_log(path("rebuilt"), {.users = 61});
  expect_mistake(resumed + "data.path=" + path("rebuilt"), "2024-01-01 has other requests or parts");
  expect_mistake(resumed + "data.shuffle_window=7", "now are shuffled in windows of 7");
  expect_mistake(resumed + "data.train=2024-01-02", "expected all of '2024-01-01..2024-01-02'");
  // Between two epochs there is no place to lose.
  train(1, "between", "");
  resume(1, "between", str("train.epochs=2 --set data.path=", path("rebuilt")));
  // Later days change nothing of what was read.
  resume(2, "placed", "train.max_steps=3 --set data.train=2024-01-01..2024-01-03");
}

TEST_F(Train, TheLastStepIsTheOneThatWasPlanned) {
  const Outcome outcome = lime_program(train_command("planned", "data.path=" + few_users()));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const auto last = std::to_string(metrics("planned").back().at("step").get<int64_t>());
  EXPECT_THAT(outcome.err, HasSubstr(str("\nstep ", last, "/", last, " ")));
}

TEST_F(Train, InspectSaysWhatARunHolds) {
  train(1, "looked_at", "train.max_steps=2 --set data.eval=2024-01-03 --set eval.history=both");
  const Outcome run = lime_program("inspect " + path("looked_at"));
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_THAT(run.out, HasSubstr("lime_xor on " + path("data") + ", trained on 2024-01-01..2024-01-02"));
  EXPECT_THAT(run.out, testing::ContainsRegex("\nclick +frozen +0\\.[0-9]{4} "));
  EXPECT_THAT(run.out, HasSubstr("checkpoints, newest first: step-000000002\nstep 2, epoch 0, "));
  EXPECT_THAT(run.out, testing::ContainsRegex("\nsegment +[0-9]+ +8\n"));
  EXPECT_THAT(run.out, testing::ContainsRegex("\ninteraction.links +4 +16\n"));
  EXPECT_THAT(run.out, HasSubstr(lime_program("inspect " + checkpoint("looked_at", 2)).out));
}

TEST_F(Train, BrokenFilesAreNamed) {
  const auto flip_middle = [](const std::string& file) {
    std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
    const auto middle = static_cast<std::streamoff>(fs::file_size(file) / 2);
    stream.seekg(middle);
    const char byte = static_cast<char>(stream.get() ^ 0x40);
    stream.seekp(middle);
    stream.put(byte);
  };
  train(1, "broken", "train.max_steps=4 --set train.checkpoint_every=2");
  flip_middle(checkpoint("broken", 4) + "/dense.h5");
  // The broken one is passed over, by name; the run goes on from the one before.
  const Outcome resumed = lime_program(str("train --resume ", path("broken"), " --set train.max_steps=6"));
  EXPECT_EQ(resumed.exit_code, 0) << resumed.err;
  EXPECT_THAT(resumed.err, HasSubstr("step-000000004/dense.h5"));
  EXPECT_THAT(resumed.err, HasSubstr("step-000000002"));

  fs::copy(path("data"), path("truncated"), fs::copy_options::recursive);
  const std::string events = path("truncated/events/part-00001-of-00004.h5");
  fs::resize_file(events, fs::file_size(events) / 2);
  expect_mistake(train_command("x", "data.path=" + path("truncated")), "events/part-00001-of-00004.h5");
  fs::copy(path("data"), path("missing"), fs::copy_options::recursive);
  fs::remove(path("missing/days/2024-01-02/part-00002-of-00004.h5"));
  expect_mistake(train_command("x", "data.path=" + path("missing")),
                 "days/2024-01-02/part-00002-of-00004.h5");
}

}  // namespace
}  // namespace lime
