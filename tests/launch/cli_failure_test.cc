// Ranks that fail together or alone: no hang, each cause one line, the right exit code.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/error.h"
#include "tests/launch/program.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

using testing::ElementsAre;
using testing::MatchesRegex;
using testing::UnorderedElementsAre;

Outcome run(int ranks, const std::string& how) {
  return run_command(str(LIME_MPIEXEC, " -np ", ranks, " ", LIME_FAILING_JOB, " ", how));
}

constexpr double quickly = 20;  // seconds; the others would wait forever

TEST(Failure, ARankThatFailsAloneTakesTheJobDown) {
  const Outcome outcome = run(3, "user");
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_LT(outcome.seconds, quickly);
  EXPECT_THAT(outcome.error_lines(),
              ElementsAre(MatchesRegex("\\[rank 2/3 .*\\] lime: error: file of the last rank is broken")));
}

TEST(Failure, WhereMemoryEndsItSaysWhatTakesLess) {
  const Outcome outcome = run(2, "memory");
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(
      outcome.error_lines(),
      ElementsAre(MatchesRegex("\\[rank 1/2 .*\\] lime: error: out of memory; .*data.max_history.*")));
}

TEST(Failure, AnInternalErrorIsExitCode1AndNamesTheRank) {
  const Outcome outcome = run(2, "internal");
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_LT(outcome.seconds, quickly);
  EXPECT_THAT(outcome.error_lines(),
              ElementsAre(MatchesRegex("\\[rank 1/2 .*\\] lime: error: an invariant of the last rank")));
}

TEST(Failure, TheSameInternalErrorEverywhereIsOneLine) {
  const Outcome outcome = run(3, "internal_all");
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.error_lines(),
              ElementsAre(MatchesRegex("\\[rank 0/3 .*\\] lime: error: an invariant")));
}

TEST(Failure, DifferentMistakesAreALineEach) {
  const Outcome outcome = run(3, "different");
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_THAT(outcome.error_lines(), UnorderedElementsAre("lime: error: file of rank 0 is broken",
                                                          "lime: error: file of rank 1 is broken",
                                                          "lime: error: file of rank 2 is broken"));
}

TEST(Failure, ConfigurationsThatDifferBetweenRanksAreRefusedNamingTheKey) {
  const TempDirectory temp;
  const std::string config = str(LIME_SOURCE_DIR, "/configs/quickstart.yaml");
  const std::string changed = temp.file("changed.yaml");
  std::string text = read_file(config);
  text.replace(text.find("links: 16"), 9, "links: 8");
  write_file(changed, text);
  // In a script: given several programs, Debian 13's mpirun crashes (open-mpi/ompi#13303).
  write_file(temp.file("rank.sh"),
             str("config=", changed, "\n[ $OMPI_COMM_WORLD_RANK != 0 ] || config=", config, "\nexec ",
                 LIME_PROGRAM, " train $config --out ", temp.file("run"), "\n"));
  const Outcome outcome = run_command(str(LIME_MPIEXEC, " -np 3 sh ", temp.file("rank.sh")));
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_THAT(outcome.error_lines(),
              ElementsAre(MatchesRegex("lime: error: the configuration is another one on .* \\(rank 1\\): "
                                       "found 'links: 8', expected 'links: 16' as on .*")));
}

}  // namespace
}  // namespace lime
