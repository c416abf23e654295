// A dataset appears whole or not at all, whoever else writes and whoever is killed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <utility>

#include "io/dataset.h"
#include "runtime/sanitizer.h"
#include "tests/io/random_log.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

// A process that is in the middle of writing a dataset.
class WriterProcess {
 public:
  WriterProcess(const std::string& directory, const RandomLog& log) {
    int ready[2];
    LIME_CHECK(pipe(ready) == 0);
    process_ = fork();
    if (process_ == 0) begin(directory, log, ready[1]);
    close(ready[1]);
    char byte;
    const bool begun = read(ready[0], &byte, 1) == 1;
    close(ready[0]);
    LIME_CHECK(begun);
    partial = str(directory, ".partial-", process_);
  }
  ~WriterProcess() { end(); }
  void end() {
    if (process_ <= 0) return;
    kill(process_, SIGKILL);
    waitpid(std::exchange(process_, 0), nullptr, 0);
  }
  std::string partial;

 private:
  // Does not come back: this process must not go on with the tests.
  [[noreturn]] static void begin(const std::string& directory, const RandomLog& log, int ready) noexcept {
    DatasetWriter writer(directory, log.schema, small_writer(2));
    writer.add_event(log.events[0]);
    if (write(ready, "x", 1) == 1) pause();
    _exit(1);
  }

  pid_t process_ = 0;
};

TEST(DatasetWriter, RemovesWhatAKilledOneLeftAndNothingElse) {
  TempDirectory temp;
  const auto log = make_random_log(4);
  WriterProcess killed(temp.file("data"), log), other(temp.file("data2"), log);
  killed.end(), other.end();
  for (const char* name : {"data.partial", "data.partial-", "data.partial-5x", "xdata.partial-999999999"})
    fs::create_directory(temp.file(name));
  ASSERT_TRUE(fs::exists(killed.partial + "/events"));
  std::vector<std::string> notices;
  auto options = small_writer(2);
  options.notice = [&](const std::string& line) { notices.push_back(line); };
  write_log(log, temp.file("data"), options);
  EXPECT_THAT(notices, testing::ElementsAre(HasSubstr("removed " + killed.partial)));
  EXPECT_FALSE(fs::exists(killed.partial));
  EXPECT_TRUE(fs::exists(other.partial + "/events"));  // of another dataset
  EXPECT_EQ(std::distance(fs::directory_iterator(temp.path()), fs::directory_iterator()), 6);
  EXPECT_EQ(Dataset::open(temp.file("data")).parts(), 2);
}

TEST(DatasetWriter, OneProcessAtATimeMakesADataset) {
  TempDirectory temp;
  const auto log = make_random_log(4);
  WriterProcess alive(temp.file("data"), log);
  EXPECT_THAT(user_error([&] { write_log(log, temp.file("data"), small_writer(2)); }),
              testing::AllOf(testing::StartsWith(temp.file("data") + ": process "),
                             HasSubstr(" is making it (" + alive.partial + ")")));
  EXPECT_TRUE(fs::exists(alive.partial + "/events"));
}

TEST(DatasetWriter, WhatGotItsNameMeanwhileStays) {
  TempDirectory temp;
  const auto log = make_random_log(4);
  DatasetWriter writer(temp.file("data"), log.schema, small_writer(2));
  for (const auto& request : log.requests) writer.add_request(request);
  write_file(temp.file("data"), "somebody's");
  EXPECT_EQ(user_error([&] { writer.finish(); }),
            temp.file("data") + ": was made meanwhile by somebody else, and is left as it is");
  EXPECT_EQ(read_file(temp.file("data")), "somebody's");
}

// In MB, of this process: "VmHWM" is the most since reset_peak().
int64_t resident(const std::string& name) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with(name + ":")) return std::stoll(line.substr(name.size() + 1)) / 1024;
  return 0;
}
void reset_peak() { std::ofstream("/proc/self/clear_refs") << 5; }

// A list of users as long as the list of rows was made while those were still in memory.
TEST(DatasetWriter, UsersThatComeOnceStayWithinItsMemory) {
#ifdef __SANITIZE_THREAD__
  GTEST_SKIP() << "ThreadSanitizer's memory is counted, too";
#endif
  if (sanitizer::finds_addresses) GTEST_SKIP() << "AddressSanitizer keeps what is freed";
  TempDirectory temp;
  const auto log = make_random_log(4);
  const pid_t writer = fork();
  if (writer == 0) {
    auto options = small_writer(2);
    options.memory_bytes = int64_t{32} << 20;
    DatasetWriter to(temp.file("data"), log.schema, options);
    reset_peak();
    const int64_t before = resident("VmHWM");
    EventRow event = log.events[0];
    for (event.user = 0; event.user < 600'000; ++event.user) to.add_event(event);
    _exit(static_cast<int>(std::clamp<int64_t>(resident("VmHWM") - before, 0, 255)));
  }
  int status = 0;
  waitpid(writer, &status, 0);
  const int grown = WEXITSTATUS(status);
  EXPECT_GT(grown, 16);  // it did hold what it may
  EXPECT_LT(grown, 48);
}

// Of one that was killed while it replaced DATA, which DATA.replaced-PID was by then.
TEST(DatasetWriter, WhatAKilledOneDidNotGetToRemoveIsRemoved) {
  TempDirectory temp;
  const std::string data = temp.file("data"), left = data + ".replaced-999999999";
  const auto log = make_random_log(4);
  write_log(log, data, small_writer(2));
  fs::create_directories(left + "/events");
  fs::create_directory(data + ".replaced-mine");
  const std::string alive = str(data, ".replaced-", getppid());
  fs::create_directory(alive);
  std::vector<std::string> notices;
  auto options = small_writer(2);
  options.overwrite = true;
  options.notice = [&](const std::string& line) { notices.push_back(line); };
  write_log(log, data, options);
  EXPECT_THAT(notices, testing::UnorderedElementsAre("removed " + left + ", which a killed process left",
                                                     HasSubstr(alive + " is left: there is a process")));
  EXPECT_FALSE(fs::exists(left));
  EXPECT_TRUE(fs::exists(alive));
  EXPECT_TRUE(fs::exists(data + ".replaced-mine"));
}

TEST(DatasetWriter, WhatAKilledOneWasAboutToReplaceHasItsNameAgain) {
  TempDirectory temp;
  const std::string data = temp.file("data"), left = data + ".replaced-999999999";
  const auto log = make_random_log(4);
  write_log(log, data, small_writer(2));
  fs::rename(data, left);
  std::vector<std::string> notices;
  auto options = small_writer(3);
  options.notice = [&](const std::string& line) { notices.push_back(line); };
  EXPECT_THAT(user_error([&] { write_log(log, data, options); }), HasSubstr(data + ": exists already"));
  EXPECT_THAT(notices, testing::ElementsAre(data + " was " + left + ", where a killed process left it"));
  EXPECT_EQ(Dataset::open(data).parts(), 2);
  fs::rename(data, left);
  options.overwrite = true;
  write_log(log, data, options);
  EXPECT_EQ(Dataset::open(data).parts(), 3);
  EXPECT_EQ(std::distance(fs::directory_iterator(temp.path()), fs::directory_iterator()), 1);
}

}  // namespace
}  // namespace lime
