// Checkpoints on a full disk and under kill -9. One process.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <random>

#include "model/checkpoint.h"
#include "tests/launch/small_run.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class CheckpointCrash : public testing::Test {
 protected:
  CheckpointCrash()
      : dataset_(write_small_dataset(directory_.file("data"))),
        run_(test_group().world(), small_config(directory_.file("data")), dataset_) {
    run_.train(test_group(), dataset_, 2);
  }

  std::string save(const std::string& run_directory, int64_t step, int64_t keep = 2) {
    TrainState state = run_.state;
    state.step = step;
    return save_checkpoint(test_group().world(), run_directory, run_.config, run_.network, run_.adamw, state,
                           keep);
  }
  std::string save_error(const std::string& run_directory, int64_t step) {
    return user_error([&] { save(run_directory, step); });
  }
  void expect_loads(const std::string& checkpoint, int64_t step) {
    SmallRun fresh(test_group().world(), run_.config, dataset_);
    EXPECT_EQ(load(test_group().world(), checkpoint, fresh).step, step);
  }

  TempDirectory directory_;
  Dataset dataset_;
  SmallRun run_;
};

TEST_F(CheckpointCrash, KilledAtAnyMomentAGoodOneRemains) {
  const std::string run = directory_.file("run");
  const auto begin = std::chrono::steady_clock::now();
  save(run, 1);
  const auto one_save =
      std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - begin);
  std::mt19937 random(std::random_device{}());
  int64_t reached = 1;
  int found_partial = 0;
  for (int round = 0; round < 12; ++round) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      for (int64_t step = reached + 1;; ++step) save(run, step);
    }
    usleep(static_cast<useconds_t>(random() % static_cast<uint64_t>(3 * one_save.count())));
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);

    const auto names = list_checkpoints(run);
    ASSERT_FALSE(names.empty());
    for (const auto& name : names)  // not one under a whole one's name is anything but whole
      EXPECT_NO_THROW(VerifiedCheckpoint(test_group().world(), run + "/checkpoints/" + name));
    for (const auto& entry : fs::directory_iterator(run + "/checkpoints"))
      found_partial += entry.path().extension() == ".partial" ? 1 : 0;
    EXPECT_EQ(newest_good(test_group().world(), run), run + "/checkpoints/" + names.front());
    const int64_t step = std::stoll(names.front().substr(5));
    EXPECT_GE(step, reached);
    reached = step;
  }
  expect_loads(newest_good(test_group().world(), run), reached);
  RecordProperty("steps", static_cast<int>(reached));
  RecordProperty("killed_while_writing", found_partial);
}

TEST_F(CheckpointCrash, AFileThatMayNotGrowIsAUserError) {
  const std::string run = directory_.file("run");
  const std::string good = save(run, 1);
  signal(SIGXFSZ, SIG_IGN);
  rlimit limit{}, kept{};
  getrlimit(RLIMIT_FSIZE, &kept);
  for (const rlim_t bytes : {0, 1000, 8000, 20000}) {
    limit = kept;
    limit.rlim_cur = bytes;
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
    const std::string error = save_error(run, 2);
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &kept), 0);
    EXPECT_THAT(error, HasSubstr("cannot write checkpoint " + run + "/checkpoints/step-000000002: "))
        << bytes;
    EXPECT_THAT(error, HasSubstr(".h5")) << bytes;
    EXPECT_FALSE(fs::exists(run + "/checkpoints/step-000000002")) << bytes;
    EXPECT_FALSE(fs::exists(run + "/checkpoints/step-000000002.partial")) << bytes;
    EXPECT_EQ(newest_good(test_group().world(), run), good) << bytes;
  }
  expect_loads(save(run, 3), 3);  // and with space again it works again
}

// Runs `body` in a child that has `path` as a file system of `kilobytes`. Its complaints, or "" ; "skip: ..."
// where this system lets nobody mount one.
std::string on_small_disk(const std::string& path, int kilobytes, const std::function<std::string()>& body) {
  int ends[2];
  LIME_CHECK(pipe(ends) == 0);
  const pid_t child = fork();
  LIME_CHECK(child >= 0);
  if (child == 0) {
    std::string said;
    const std::string uid = str("0 ", getuid(), " 1"), gid = str("0 ", getgid(), " 1");
    if (unshare(CLONE_NEWNS) != 0) {
      if (unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0) {
        std::ofstream("/proc/self/setgroups") << "deny";
        std::ofstream("/proc/self/uid_map") << uid;
        std::ofstream("/proc/self/gid_map") << gid;
      }
    }
    mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr);
    if (mount("tmpfs", path.c_str(), "tmpfs", 0, str("size=", kilobytes, "k").c_str()) != 0) {
      said = str("skip: cannot mount a tmpfs: ", std::strerror(errno));
    } else {
      try {
        said = body();
      } catch (const std::exception& error) {
        said = str("threw: ", error.what());
      }
    }
    [[maybe_unused]] const auto wrote = write(ends[1], said.data(), said.size());
    _exit(0);
  }
  close(ends[1]);
  std::string said;
  char buffer[4096];
  for (ssize_t got = 0; (got = read(ends[0], buffer, sizeof buffer)) > 0;)
    said.append(buffer, static_cast<size_t>(got));
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
    said += str(" (the child ended with status ", status, ")");
  return said;
}

TEST_F(CheckpointCrash, AFullDiskIsAUserError) {
  const std::string disk = directory_.file("disk");
  fs::create_directory(disk);
  const std::string said = on_small_disk(disk, 4096, [&]() -> std::string {
    const std::string run = disk + "/run";
    const std::string good = save(run, 1);
    {  // fill the disk
      std::ofstream filler(disk + "/filler", std::ios::binary);
      for (const std::string block(4096, 'x'); filler.write(block.data(), 4096).flush();) {
      }
    }
    std::string complaints;
    for (const int free_kilobytes : {0, 16, 48}) {
      const auto missing = free_kilobytes * 1024 - static_cast<int64_t>(fs::space(disk).available);
      fs::resize_file(disk + "/filler", fs::file_size(disk + "/filler") -
                                            static_cast<uintmax_t>(std::max<int64_t>(0, missing)));
      const std::string error = save_error(run, 2);
      if (error.find("cannot write checkpoint " + run + "/checkpoints/step-000000002") == std::string::npos ||
          error.find("No space left on device") == std::string::npos)
        complaints += str("[", free_kilobytes, " KiB free: ", error, "] ");
      if (fs::exists(run + "/checkpoints/step-000000002") ||
          fs::exists(run + "/checkpoints/step-000000002.partial"))
        complaints += str("[", free_kilobytes, " KiB free: something was left] ");
      if (newest_good(test_group().world(), run) != good) complaints += "[the one before is gone] ";
    }
    fs::remove(disk + "/filler");
    save(run, 3);
    return complaints;
  });
  if (said.compare(0, 5, "skip:") == 0) GTEST_SKIP() << said;
  EXPECT_EQ(said, "");
}

}  // namespace
}  // namespace lime
