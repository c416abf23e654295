// The progress line, live and plain, and the signal that ends a run in good order.
#include "launch/progress.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <termios.h>
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <cstdlib>

#include "launch/stop_signal.h"
#include "runtime/error.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

StepReport step(int64_t number) {
  StepReport report;
  report.step = number;
  report.loss = static_cast<double>(number);
  report.ne = 0.5;
  report.requests = 100;
  report.candidates = 100;
  report.step_ms = 50;
  report.data_wait_ms = 5;
  return report;
}

TEST(ProgressLine, ShowsRatesOfTheStepsItCovers) {
  StepReport report = step(120);
  report.loss = 0.61234;
  report.ne = 0.8931;
  EXPECT_EQ(progress_line(report, 335, 65),
            "step 120/335  loss 0.6123  NE 0.8931  2000 requests/s  data wait 10.0%  ETA 1:05");
  report.ne = NAN;
  EXPECT_EQ(progress_line(report, 0, -1), "step 120  loss 0.6123  2000 requests/s  data wait 10.0%");
  report.requests = 1, report.step_ms = 8000, report.data_wait_ms = 0;
  EXPECT_EQ(progress_line(report, 0, -1), "step 120  loss 0.6123  0.12 requests/s  data wait 0.0%");
}

TEST(FormatDuration, FromSecondsToDays) {
  EXPECT_EQ(format_duration(7.4), "0:07");
  EXPECT_EQ(format_duration(65), "1:05");
  EXPECT_EQ(format_duration(3723), "1:02:03");
  EXPECT_EQ(format_duration(2 * 86400 + 3 * 3600 + 240), "2d 03:04");
}

TEST(AppendSteps, SumsCountsAndWeighsLosses) {
  StepReport window = step(1);
  StepReport next = step(3);
  next.candidates = 300;
  next.steps = 2;
  append_steps(window, next);
  EXPECT_EQ(window.step, 3);
  EXPECT_EQ(window.steps, 3);
  EXPECT_EQ(window.requests, 200);
  EXPECT_DOUBLE_EQ(window.loss, (1 * 100 + 3 * 300) / 400.0);
  EXPECT_EQ(window.step_ms, 100);
}

// What a Progress writes to a file, which is no terminal.
std::vector<std::string> plain_lines(bool enabled, int64_t steps, int64_t log_every, int64_t total) {
  const TempDirectory temp;
  std::FILE* out = std::fopen(temp.file("out").c_str(), "w");
  {
    Progress progress(enabled, total, log_every, out);
    for (int64_t s = 1; s <= steps; ++s) progress.update(step(s));
    progress.message("a message");
  }
  std::fclose(out);
  std::vector<std::string> lines;
  std::istringstream text(read_file(temp.file("out")));
  for (std::string line; std::getline(text, line);) lines.push_back(line);
  return lines;
}

TEST(Progress, PlainLinesComeEveryLogEverySteps) {
  // Losses of steps 1-2, 3-4 and 5; the estimate: 0.05 s a step.
  EXPECT_THAT(plain_lines(true, 5, 2, 5),
              ElementsAre("step 2/5  loss 1.5000  NE 0.5000  2000 requests/s  data wait 10.0%  ETA 0:00",
                          "step 4/5  loss 3.5000  NE 0.5000  2000 requests/s  data wait 10.0%  ETA 0:00",
                          "step 5/5  loss 5.0000  NE 0.5000  2000 requests/s  data wait 10.0%  ETA 0:00",
                          "a message"));
  EXPECT_THAT(plain_lines(true, 3, 10, 0), ElementsAre("a message"));
}

TEST(Progress, TheEstimateCountsWhatIsLeft) {
  EXPECT_THAT(plain_lines(true, 20, 20, 1220).front(), HasSubstr("ETA 1:00"));
}

TEST(Progress, OtherRanksAreSilent) { EXPECT_TRUE(plain_lines(false, 5, 2, 5).empty()); }

TEST(StopSignal, SetsAFlagAndRestoresTheHandlers) {
  for (const int number : {SIGTERM, SIGINT, SIGUSR1}) {
    struct sigaction before {
    }, after{};
    sigaction(number, nullptr, &before);
    {
      StopSignal signal;
      EXPECT_EQ(signal.received(), 0);
      raise(number);
      EXPECT_EQ(signal.received(), number);
    }
    sigaction(number, nullptr, &after);
    EXPECT_EQ(before.sa_handler, after.sa_handler);
  }
  StopSignal again;
  EXPECT_EQ(again.received(), 0);
}

// What a person sees on the terminal of this program's standard error.
TEST(StopSignal, TheFirstOneIsAnsweredOnATerminal) {
  const int person = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (person < 0 || grantpt(person) != 0 || unlockpt(person) != 0) GTEST_SKIP() << "no terminals to be had";
  const int terminal = open(ptsname(person), O_RDWR | O_NOCTTY | O_CLOEXEC);
  ASSERT_GE(terminal, 0);
  termios settings{};
  tcgetattr(terminal, &settings);
  cfmakeraw(&settings);
  tcsetattr(terminal, TCSANOW, &settings);
  const int before = dup(STDERR_FILENO);
  dup2(terminal, STDERR_FILENO);
  {
    const StopSignal signal("stopping after this step");
    raise(SIGINT);
  }
  dup2(before, STDERR_FILENO);
  close(before), close(terminal);
  char seen[200];
  const ssize_t length = read(person, seen, sizeof seen);
  close(person);
  ASSERT_GT(length, 0);
  EXPECT_EQ(std::string(seen, static_cast<size_t>(length)),
            "\nlime: stopping after this step; once more ends it at once\n");
}

TEST(StopSignal, IsInterruptedWhateverAProgramThatReadsForItSays) {
  const StopSignal signal;
  EXPECT_EQ(signal.given_up_for([] { return 7; }), 7);
  EXPECT_THROW(signal.given_up_for([]() -> int { throw UserError("gzip ended"); }), UserError);
  raise(SIGINT);
  EXPECT_EQ(signal.given_up_for([] { return 7; }), 7);  // it was done when the signal came
  EXPECT_THROW(signal.given_up_for([]() -> int { throw UserError("gzip ended"); }), Interrupted);
  EXPECT_THROW(signal.check(), Interrupted);
}

TEST(StopSignalDeathTest, TheSecondOneEndsTheProcess) {
  testing::GTEST_FLAG(death_test_style) = "threadsafe";  // the watchdog runs beside it
  EXPECT_EXIT(
      {
        StopSignal signal;
        raise(SIGINT);
        raise(SIGINT);
      },
      testing::ExitedWithCode(128 + SIGINT), "");
}

}  // namespace
}  // namespace lime
