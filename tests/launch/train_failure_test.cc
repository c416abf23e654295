// How runs of the program end before their time, and go on: signals, kills, losses that are not finite; and
// what a user can do wrong with data, days, runs and checkpoints.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "runtime/error.h"
#include "tests/launch/train_runs.h"

namespace lime {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

TEST_F(Train, ASignalCheckpointsAndTheRunGoesOn) {
  train(1, "untouched", "train.epochs=6");
  const std::string steps = str("[ -s ", path("signalled/metrics.jsonl"), " ]");
  const Outcome stopped = train_until(steps, "TERM", "signalled", "train.epochs=6");
  EXPECT_EQ(stopped.exit_code, 0) << stopped.err;
  EXPECT_LT(metrics("signalled").size(), metrics("untouched").size());
  resume(2, "signalled", "train.epochs=6");
  const int last = static_cast<int>(metrics("untouched").back().at("step").get<int64_t>());
  EXPECT_EQ(digests("untouched", last), digests("signalled", last));

  // mpirun passes this one on to all its ranks, and waits for them.
  const Outcome passed_on = train_until(str("[ -s ", path("passed/metrics.jsonl"), " ]"), "USR1", "passed",
                                        "train.epochs=6", str(LIME_MPIEXEC, " -np 2"));
  EXPECT_EQ(passed_on.exit_code, 0) << passed_on.err;
  EXPECT_THAT(passed_on.err, HasSubstr("stopped at step "));
  resume(1, "passed", "train.epochs=6");
  EXPECT_EQ(digests("untouched", last), digests("passed", last));
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

  // What is asked for is looked at before the weights are.
  fs::remove_all(path("taken/checkpoints"));
  expect_mistake(str("eval ", path("taken"), " --days 2024-01-02"), "2024-01-02");
  expect_mistake(str("predict ", path("taken"), " --days 2031-01-01 --out ", path("x.h5")), "2031-01-01");
  expect_mistake(str("score ", path("taken"), " --requests 2031-01-01"), "2031-01-01");
  expect_mistake(str("eval ", path("taken"), " --days 2024-01-03"), "has no usable checkpoint");
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
