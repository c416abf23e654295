// Ranks that fail together or alone: no hang, each cause one line, the right exit code.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <chrono>
#include <sstream>

#include "runtime/error.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

using testing::ElementsAre;
using testing::MatchesRegex;
using testing::UnorderedElementsAre;

struct Outcome {
  int exit_code;
  double seconds;
  std::vector<std::string> lines;  // that hold an error
};

Outcome run(int ranks, const std::string& how) {
  const TempDirectory temp;
  const auto begin = std::chrono::steady_clock::now();
  const int status = std::system(
      str(LIME_MPIEXEC, " -np ", ranks, " ", LIME_FAILING_JOB, " ", how, " >", temp.file("output"), " 2>&1").c_str());
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin;
  Outcome outcome{WIFEXITED(status) ? WEXITSTATUS(status) : -1, elapsed.count(), {}};
  std::istringstream text(read_file(temp.file("output")));
  for (std::string line; std::getline(text, line);)
    if (line.find("lime: error: ") != std::string::npos) outcome.lines.push_back(line);
  return outcome;
}

constexpr double quickly = 20;  // seconds; the others would wait forever

TEST(Failure, ARankThatFailsAloneTakesTheJobDown) {
  const Outcome outcome = run(3, "user");
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_LT(outcome.seconds, quickly);
  EXPECT_THAT(outcome.lines, ElementsAre(MatchesRegex("\\[rank 2/3 .*\\] lime: error: file of the last rank is broken")));
}

TEST(Failure, AnInternalErrorIsExitCode1AndNamesTheRank) {
  const Outcome outcome = run(2, "internal");
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_LT(outcome.seconds, quickly);
  EXPECT_THAT(outcome.lines, ElementsAre(MatchesRegex("\\[rank 1/2 .*\\] lime: error: an invariant of the last rank")));
}

TEST(Failure, TheSameInternalErrorEverywhereIsOneLine) {
  const Outcome outcome = run(3, "internal_all");
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.lines, ElementsAre(MatchesRegex("\\[rank 0/3 .*\\] lime: error: an invariant")));
}

TEST(Failure, DifferentMistakesAreALineEach) {
  const Outcome outcome = run(3, "different");
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_THAT(outcome.lines, UnorderedElementsAre("lime: error: file of rank 0 is broken", "lime: error: file of rank 1 is broken",
                                                  "lime: error: file of rank 2 is broken"));
}

}  // namespace
}  // namespace lime
