// Runs of a comparison as child processes: what is started, what is read from their output, how long is left.
#include "launch/compare/runner.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <thread>

#include "launch/compare/child_process.h"
#include "runtime/error.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

int wait_for(ChildProcess& child) {
  for (int i = 0; i < 2000; ++i) {
    if (const auto code = child.poll()) return *code;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return -1;
}

TEST(ChildProcess, ReturnsItsExitCodeAndKeepsItsOutput) {
  const TempDirectory temp;
  const std::string log = temp.file("log");
  write_file(log, "before\n");
  ChildProcess child({"sh", "-c", "read line; echo out; echo err >&2; exit 3"}, log);
  EXPECT_EQ(wait_for(child), 3);
  EXPECT_EQ(child.poll(), 3);
  EXPECT_EQ(read_file(log), "before\nout\nerr\n");
}

TEST(ChildProcess, AProgramThatIsNotThereFails) {
  const TempDirectory temp;
  ChildProcess child({"no-such-program"}, temp.file("log"));
  EXPECT_EQ(wait_for(child), 127);
  EXPECT_EQ(last_error(read_file(temp.file("log"))), "no-such-program cannot be started");
  EXPECT_THROW(ChildProcess({"true"}, temp.file("no/log")), UserError);
}

TEST(ChildProcess, StopsWhenAskedAndIsNotPartOfAJob) {
  const TempDirectory temp;
  setenv("OMPI_COMM_WORLD_SIZE", "7", 1);
  setenv("LIME_TEST_KEPT", "yes", 1);
  ChildProcess child({"sh", "-c", "echo [$OMPI_COMM_WORLD_SIZE] $LIME_TEST_KEPT; exec sleep 60"},
                     temp.file("log"));
  unsetenv("OMPI_COMM_WORLD_SIZE");
  unsetenv("LIME_TEST_KEPT");
  while (read_file(temp.file("log")).empty()) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_FALSE(child.poll().has_value());
  child.ask_to_stop();
  EXPECT_EQ(wait_for(child), 128 + SIGUSR1);
  EXPECT_EQ(read_file(temp.file("log")), "[] yes\n");
}

// Whoever fails because the disk is full can still say so.
TEST(ChildProcess, ItsLogHasRoomBeyondItsEnd) {
  const TempDirectory temp;
  const std::string log = temp.file("log");
  const int probe = open(log.c_str(), O_WRONLY | O_CREAT, 0644);
  const bool reserves = fallocate(probe, FALLOC_FL_KEEP_SIZE, 0, 4096) == 0;
  close(probe);
  if (!reserves) GTEST_SKIP() << "a file system without fallocate";
  const auto room = [&] {
    struct stat about {};
    stat(log.c_str(), &about);
    return about.st_blocks * 512 - about.st_size;
  };
  ChildProcess child({"sh", "-c", "head -c 100000 /dev/zero; exec sleep 60"}, log);
  while (std::filesystem::file_size(log) < 100000) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_FALSE(child.poll().has_value());
  EXPECT_GE(room(), 8192);
}

TEST(ChildProcess, IsEndedWithItsOwner) {
  const TempDirectory temp;
  {
    const ChildProcess child({"sh", "-c", "echo $$; exec sleep 60"}, temp.file("log"));
    while (read_file(temp.file("log")).empty()) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_NE(kill(std::stoi(read_file(temp.file("log"))), 0), 0);
}

TEST(RunOutput, TheLastProgressCounts) {
  const std::string output =
      "lime_xor: 10 dense parameters\nstep 20/335  loss 0.6 NE 0.9\nstep 40/335  loss 0.5\ncheckpoint "
      "a/step-1\n";
  const auto progress = last_progress(output);
  ASSERT_TRUE(progress);
  EXPECT_EQ(progress->step, 40);
  EXPECT_EQ(progress->total, 335);
  EXPECT_EQ(last_progress("x\nstep 7  loss 1\n")->total, 0);
  EXPECT_FALSE(last_progress("nothing\nstep by step\n").has_value());
  EXPECT_FALSE(last_progress("").has_value());
}

TEST(RunOutput, TheLastErrorIsTheReason) {
  EXPECT_EQ(last_error("a\nlime: error: first\n[rank 1/2 h] lime: error: second\nb"), "second");
  EXPECT_EQ(last_error("all is well"), "");
}

TEST(RemainingTime, FinishedRunsTellOfTheirEntry) {
  RemainingTime time(3);
  EXPECT_LT(time.estimate({{0, 1.0, 0.0}}, {1, 2}, 1), 0);  // nothing known yet
  EXPECT_DOUBLE_EQ(time.estimate({{0, 5.0, 0.5}}, {}, 1), 5);
  EXPECT_DOUBLE_EQ(time.estimate({{0, 5.0, 0.5}}, {1}, 1), 5 + 10);
  time.finished(0, 10);
  time.finished(0, 20);
  time.finished(1, 40);
  EXPECT_DOUBLE_EQ(time.estimate({}, {0, 1}, 1), 15 + 40);
  EXPECT_DOUBLE_EQ(time.estimate({{0, 3.0, 0.9}}, {2}, 1), 12 + 27.5);  // of entry 2: the mean of 15 and 40
  EXPECT_DOUBLE_EQ(time.estimate({{0, 99.0, 0.9}}, {}, 1), 0);
  EXPECT_DOUBLE_EQ(time.estimate({}, {0, 0, 1}, 2), 40);  // never less than the longest of them
  EXPECT_DOUBLE_EQ(time.estimate({}, {1, 1, 1}, 2), 60);
}

TEST(TrainCommand, StartsOrResumesUnderALauncher) {
  const TempDirectory temp;
  ComparisonPlan plan;
  plan.config_path = "c.yaml";
  ComparisonRun run;
  run.directory = temp.file("hstu-1");
  run.overrides = {{"train.epochs", "2"}, {"model.name", "hstu"}};
  RunnerOptions options;
  options.program = "lime";
  EXPECT_THAT(train_command(plan, run, options),
              ElementsAre("lime", "train", "c.yaml", "--out", run.directory, "--set", "train.epochs=2",
                          "--set", "model.name=hstu", "--rows", run.directory + "/rows.h5"));
  std::filesystem::create_directory(run.directory);
  write_file(run.directory + "/config.yaml", "");
  options.ranks = 2;
  options.launcher = "mpirun --bind-to none";
  EXPECT_THAT(train_command(plan, run, options),
              ElementsAre("mpirun", "--bind-to", "none", "-np", "2", "lime", "train", "--resume",
                          run.directory, "--rows", run.directory + "/rows.h5"));
}

// The runner with a stand-in for the program, which does what the run's name asks for.
class TrainRuns : public testing::Test {
 protected:
  TrainRuns() {
    write_file(temp_.file("program"),
               "#!/bin/sh\n"
               "for word; do last=$word; done\n"  // --rows FILE
               "directory=${last%/rows.h5}\n"
               "mkdir -p $directory; echo x >> $directory/config.yaml\n"
               "case $directory in\n"
               "*bad*) echo 'lime: error: too bad' >&2; exit 2;;\n"
               "*silent*) exit 5;;\n"
               "*slow*) echo slow; trap 'exit 0' TERM; sleep 60 & wait;;\n"
               "esac\n"
               "touch $last\n");
    std::filesystem::permissions(temp_.file("program"), std::filesystem::perms::owner_all);
    options_.program = temp_.file("program");
    plan_.out = temp_.file("out");
  }
  void add(const std::string& name) {
    plan_.entries.push_back({name, "hstu", {}});
    ComparisonRun run;
    run.entry = plan_.entries.size() - 1;
    run.name = name + "-1";
    run.directory = plan_.out + "/runs/" + run.name;
    plan_.runs.push_back(run);
  }
  // How often a run was started.
  size_t starts(size_t run) const { return read_file(plan_.runs[run].directory + "/config.yaml").size() / 2; }

  TempDirectory temp_;
  ComparisonPlan plan_;
  RunnerOptions options_;
};

TEST_F(TrainRuns, TheOthersGoOnWhenOneFails) {
  for (const char* name : {"a", "bad", "silent", "b"}) add(name);
  const RunnerOutcome outcome = train_runs(plan_, options_);
  EXPECT_FALSE(outcome.stopped);
  ASSERT_EQ(outcome.failures.size(), 2u);
  EXPECT_EQ(outcome.failures[0].run, "bad-1");
  EXPECT_EQ(outcome.failures[0].reason, "too bad");
  EXPECT_THAT(outcome.failures[0].log, HasSubstr("bad-1.log"));
  EXPECT_EQ(outcome.failures[1].reason, "ended with exit code 5");
  EXPECT_TRUE(is_complete(plan_.runs[0]));
  EXPECT_TRUE(is_complete(plan_.runs[3]));
}

TEST_F(TrainRuns, OneWhoseLogCannotBeWrittenIsAFailureOfItsOwn) {
  for (const char* name : {"a", "b"}) add(name);
  std::filesystem::create_directories(plan_.out + "/logs/a-1.log");  // in the place of the file
  const RunnerOutcome outcome = train_runs(plan_, options_);
  ASSERT_EQ(outcome.failures.size(), 1u);
  EXPECT_EQ(outcome.failures[0].run, "a-1");
  EXPECT_THAT(outcome.failures[0].reason, HasSubstr("a-1.log: cannot be written: Is a directory"));
  EXPECT_TRUE(is_complete(plan_.runs[1]));
}

TEST_F(TrainRuns, WhatIsCompleteIsNotTrainedAgain) {
  options_.jobs = 2;
  for (const char* name : {"a", "b", "c"}) add(name);
  EXPECT_TRUE(train_runs(plan_, options_).failures.empty());
  std::filesystem::remove(rows_path(plan_.runs[1]));
  EXPECT_TRUE(train_runs(plan_, options_).failures.empty());
  EXPECT_EQ(starts(0), 1u);
  EXPECT_EQ(starts(1), 2u);
  EXPECT_EQ(starts(2), 1u);
}

TEST_F(TrainRuns, ASignalStopsThemAll) {
  for (const char* name : {"slow", "never"}) add(name);
  std::thread user([&] {
    const std::string log = plan_.out + "/logs/slow-1.log";
    while (!std::filesystem::exists(log) || read_file(log).empty())
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    kill(getpid(), SIGTERM);
  });
  const RunnerOutcome outcome = train_runs(plan_, options_);
  user.join();
  EXPECT_TRUE(outcome.stopped);
  EXPECT_TRUE(outcome.failures.empty());
  EXPECT_FALSE(std::filesystem::exists(plan_.runs[1].directory));
}

}  // namespace
}  // namespace lime
