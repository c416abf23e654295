// Run directories: made, kept, refused, held by one job at a time, and gone again where a run did not start.
#include "launch/run_directory.h"
#include "model/run_choice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "runtime/error.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

Config some_config() {
  return parse_config("data: {path: d, train: 2022-01-01}\ntasks: [click]\n", "x.yaml", {});
}

std::string failure(const std::string& path, bool resume) {
  return user_error([&] { RunDirectory(test_group(), path, resume); });
}

void barrier() { test_group().world().barrier()->wait(); }

class RunDirectoryTest : public testing::Test {
 protected:
  TempDirectory temp_{TempDirectory::Shared::yes};
  std::string path_ = temp_.file("runs/deep/first");
};

TEST_F(RunDirectoryTest, AStartedRunKeepsItsConfigurationAndEnvironment) {
  {
    RunDirectory directory(test_group(), path_, false);
    directory.start(some_config(), all_gather_texts(test_group().world(), test_group().host()));
  }
  barrier();
  EXPECT_EQ(to_yaml(load_config(config_path(path_), {})), to_yaml(some_config()));
  const auto environment = nlohmann::json::parse(read_file(path_ + "/environment.json"));
  ASSERT_EQ(environment["jobs"].size(), 1u);
  const auto& job = environment["jobs"][0];
  EXPECT_EQ(job["ranks"], test_group().size());
  EXPECT_EQ(job["hosts"].size(), static_cast<size_t>(test_group().size()));
  for (const char* key : {"started", "version", "commit", "compiler", "libraries", "cpu"})
    EXPECT_NE(job.value(key, ""), "") << key;
  barrier();
  {
    RunDirectory directory(test_group(), path_, true);
    directory.start(some_config(), all_gather_texts(test_group().world(), test_group().host()));
  }
  barrier();
  EXPECT_EQ(nlohmann::json::parse(read_file(path_ + "/environment.json"))["jobs"].size(), 2u);
}

TEST_F(RunDirectoryTest, ARunThatDidNotStartLeavesNothing) {
  {
    RunDirectory directory(test_group(), path_, false);
    barrier();
    EXPECT_TRUE(fs::exists(path_));
    barrier();
  }
  barrier();
  EXPECT_FALSE(fs::exists(temp_.file("runs")));
}

TEST_F(RunDirectoryTest, AnEmptyDirectoryOfTheUsersStaysWhereTheRunDidNotStart) {
  if (test_group().rank() == 0) fs::create_directories(path_);
  barrier();
  { RunDirectory directory(test_group(), path_, false); }
  barrier();
  EXPECT_TRUE(fs::exists(path_));
  EXPECT_TRUE(fs::is_empty(path_));
}

TEST_F(RunDirectoryTest, ADirectoryWithFilesIsRefusedAndLeftAlone) {
  if (test_group().rank() == 0) {
    fs::create_directories(path_);
    write_file(path_ + "/thesis.tex", "text");
  }
  barrier();
  EXPECT_EQ(failure(path_, false),
            str("run directory ", path_, " is not empty and holds no run; choose another --out"));
  barrier();
  EXPECT_EQ(std::distance(fs::directory_iterator(path_), fs::directory_iterator()), 1);
  barrier();
  if (test_group().rank() == 0) write_file(path_ + "/config.yaml", "");
  barrier();
  EXPECT_EQ(failure(path_, false),
            str("run directory ", path_, " is not empty: go on with 'lime train --resume ", path_,
                "', or choose another --out"));
}

// As a run is left that was killed just as it began.
TEST_F(RunDirectoryTest, ARunThatDidNotGetItsConfigurationBeginsAnew) {
  if (test_group().rank() == 0) {
    fs::create_directories(path_);
    for (const char* name : {".lock", ".shared-node1-4711", ".shared-node1-4711.partial",
                             "config.yaml.partial", "environment.json", "environment.json.partial"})
      write_file(path_ + "/" + name, "");
  }
  barrier();
  {
    RunDirectory directory(test_group(), path_, false);
    directory.start(some_config(), all_gather_texts(test_group().world(), test_group().host()));
  }
  barrier();
  EXPECT_EQ(failure(path_, true), "no UserError was thrown");
  EXPECT_EQ(nlohmann::json::parse(read_file(path_ + "/environment.json"))["jobs"].size(), 1u);
  barrier();
  EXPECT_THAT(failure(path_, false), HasSubstr("go on with 'lime train --resume"));
}

// Where environment.json cannot be written, or a kill comes before it.
TEST_F(RunDirectoryTest, ItsConfigurationIsThereFirst) {
  if (test_group().rank() == 0) fs::create_directories(path_ + "/environment.json.partial");
  barrier();
  {
    RunDirectory directory(test_group(), path_, false);
    EXPECT_THAT(user_error([&] {
                  directory.start(some_config(), all_gather_texts(test_group().world(), test_group().host()));
                }),
                HasSubstr("environment.json"));
    barrier();
  }
  barrier();
  EXPECT_EQ(to_yaml(load_config(config_path(path_), {})), to_yaml(some_config()));
}

TEST_F(RunDirectoryTest, ResumingNeedsARun) {
  EXPECT_THAT(failure(path_, true), HasSubstr("cannot be resumed: it has no config.yaml"));
  barrier();
  EXPECT_FALSE(fs::exists(temp_.file("runs")));
}

TEST_F(RunDirectoryTest, APlaceThatCannotBeMadeIsNamed) {
  if (test_group().rank() == 0) write_file(temp_.file("file"), "text");
  barrier();
  EXPECT_THAT(failure(temp_.file("file"), false), HasSubstr("is a file"));
  EXPECT_THAT(failure(temp_.file("file/run"), false), HasSubstr("cannot be made: Not a directory"));
}

TEST_F(RunDirectoryTest, ANameThatIsTooLongIsTheUsersMistake) {
  const std::string name(300, 'x');
  EXPECT_THAT(failure(temp_.file(name), false), HasSubstr(name + ": File name too long"));
}

// Another process holds the run until it is killed.
TEST_F(RunDirectoryTest, ARunInUseIsRefusedNamingTheProcess) {
  if (test_group().size() > 1) GTEST_SKIP() << "forks: one process only";
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = fork();
  if (child == 0) {
    RunDirectory directory(test_group(), path_, false);
    directory.start(some_config(), all_gather_texts(test_group().world(), test_group().host()));
    if (write(ready[1], "x", 1) != 1) _exit(1);
    pause();
    _exit(0);
  }
  char byte;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  const std::string in_use =
      str("run directory ", path_, " is in use by pid ", child, " on host ", test_group().host());
  EXPECT_EQ(failure(path_, true), in_use);
  EXPECT_EQ(failure(path_, false), in_use);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  EXPECT_EQ(failure(path_, true), "no UserError was thrown");
  close(ready[0]);
  close(ready[1]);
}

}  // namespace
}  // namespace lime
