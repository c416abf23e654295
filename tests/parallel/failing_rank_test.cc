// A rank that fails takes the job down at once, says why before anything else, and gives the exit code.
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <chrono>

#include "runtime/error.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

struct Outcome {
  int exit_code;
  double seconds;
  std::string output;  // stdout and stderr
};

// Without what Open MPI's hwloc says, on a machine without /sys, before the program starts.
std::string without_launcher_notices(std::string output) {
  while (output.rfind("[hwloc/", 0) == 0) output.erase(0, output.find('\n') + 1);
  return output;
}

Outcome run(const std::string& how, int ranks = 3, const std::string& environment = "") {
  const TempDirectory dir;
  const std::string output = dir.file("output");
  const auto begin = std::chrono::steady_clock::now();
  const std::string start =
      ranks > 0 ? str(environment, " timeout -k 5 60 ", LIME_MPIEXEC, " -np ", ranks, " ") : "";
  const int status = std::system(str(start, LIME_FAILING_RANK, " ", how, " >", output, " 2>&1").c_str());
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin;
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, elapsed.count(),
          without_launcher_notices(read_file(output))};
}

constexpr double quickly = 20;  // seconds; the others would wait forever

TEST(FailingRank, NoneFails) {
  const Outcome o = run("none");
  EXPECT_EQ(o.exit_code, 0) << o.output;
  for (const char* line : {"rank 0 came through", "rank 1 came through", "rank 2 came through"}) {
    EXPECT_NE(o.output.find(line), std::string::npos) << o.output;
  }
}

TEST(FailingRank, AbortPrintsItsReasonFirstAndGivesTheExitCode) {
  const Outcome o = run("abort");
  EXPECT_EQ(o.exit_code, 7) << o.output;
  EXPECT_EQ(o.output.rfind("[rank 1/3 ", 0), 0u) << o.output;
  const size_t line_end = o.output.find('\n');
  EXPECT_NE(o.output.substr(0, line_end).find("] disk quota exceeded"), std::string::npos) << o.output;
  EXPECT_EQ(o.output.find("came through"), std::string::npos) << o.output;
  EXPECT_LT(o.seconds, quickly);
}

TEST(FailingRank, AnExceptionThatNobodyCatchesPrintsItsReasonFirst) {
  const Outcome o = run("throw");
  EXPECT_EQ(o.exit_code, 1) << o.output;
  EXPECT_EQ(o.output.rfind("[rank 1/3 ", 0), 0u) << o.output;
  EXPECT_NE(o.output.substr(0, o.output.find('\n')).find("] a broken invariant"), std::string::npos)
      << o.output;
  EXPECT_LT(o.seconds, quickly);
}

TEST(FailingRank, AGroupLeftByAnExceptionDoesNotWaitInFinalize) {
  const Outcome o = run("unwind");
  EXPECT_EQ(o.exit_code, 1) << o.output;
  EXPECT_NE(o.output.find("left by an exception"), std::string::npos) << o.output;
  EXPECT_LT(o.seconds, quickly);
}

TEST(FailingRank, KilledTakesTheOthersAlong) {
  const Outcome o = run("kill");
  EXPECT_EQ(o.exit_code, 137) << o.output;
  EXPECT_EQ(o.output.find("came through"), std::string::npos) << o.output;
  EXPECT_LT(o.seconds, quickly);
}

TEST(FailingRank, LeavingWithoutFinalizeTakesTheOthersAlong) {
  const Outcome o = run("exit");
  EXPECT_EQ(o.exit_code, 5) << o.output;
  EXPECT_EQ(o.output.find("came through"), std::string::npos) << o.output;
  EXPECT_LT(o.seconds, quickly);
}

TEST(FailingRank, SizesThatDisagreeEndTheJobNamingThem) {
  const Outcome o = run("counts", 2);
  EXPECT_EQ(o.exit_code, 1) << o.output;
  EXPECT_NE(o.output.find("all_reduce of 100"), std::string::npos) << o.output;
  EXPECT_LT(o.seconds, quickly);
}

TEST(FailingRank, SilentForLongerThanTheLimitEndsTheJobNamingIt) {
  const Outcome o = run("silent", 3, "LIME_WAIT_LIMIT_S=1.5");
  EXPECT_EQ(o.exit_code, 1) << o.output;
  EXPECT_NE(o.output.find("no end after 1.5 s: all_reduce of 1048576 f32 on rank "), std::string::npos)
      << o.output;
  EXPECT_NE(o.output.find("nothing from rank 1:"), std::string::npos) << o.output;
  EXPECT_LT(o.seconds, quickly);
}

TEST(FailingRank, ALimitThatIsNoneIsAMistake) {
  const Outcome o = run("none", 2, "LIME_WAIT_LIMIT_S=soon");
  EXPECT_EQ(o.exit_code, 2) << o.output;
  EXPECT_NE(o.output.find("lime: error: LIME_WAIT_LIMIT_S: found 'soon', expected seconds"),
            std::string::npos)
      << o.output;
}

TEST(FailingRank, OneProcessAloneAbortsToo) {
  const Outcome alone = run("none", 0);
  EXPECT_EQ(alone.exit_code, 0) << alone.output;
  EXPECT_EQ(alone.output, "rank 0 came through\n");
}

}  // namespace
}  // namespace lime
