// `lime bench ranks` from outside.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "runtime/error.h"
#include "tests/launch/program.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;

TEST(BenchRanks, OneRankAndItsJson) {
  const TempDirectory temp;
  const Outcome outcome = lime_program(
      str("bench ranks --seconds 0.01 --file-mb 1 --out ", temp.path(), " --json ", temp.file("r.json")));
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("1 rank on 1 host, device cpu\n"));
  EXPECT_THAT(outcome.out, HasSubstr("\nnothing stands out\n"));
  EXPECT_EQ(nlohmann::json::parse(read_file(temp.file("r.json")))["ranks"].size(), 1u);
}

// A processor of another kind: BLAS, which makes large products where there is no AMX, is told so.
TEST(BenchRanks, ARankWithOtherBitsIsNamed) {
#if !defined(__x86_64__)
  GTEST_SKIP() << "the kinds of processor that BLAS can be told are those of x86";
#endif
  const Outcome outcome =
      run_command(str("export LIME_AMX=0; ", lime_job_with_one_rank(3, 2, "export OPENBLAS_CORETYPE=Prescott",
                                                                    "bench ranks --seconds 0.01")));
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.out,
              ContainsRegex("\nrank 2 \\([^)]+\\): layers compute other bits than on rank 0 \\("));
}

// Rank 1 is stopped for most of the first seconds.
TEST(BenchRanks, ASlowRankIsNamed) {
  const TempDirectory temp;
  const std::string pid = temp.file("pid");
  const Outcome outcome = run_command(
      str(lime_job_with_one_rank(2, 1, str("echo $$ >", pid), "bench ranks --seconds 1"), " & until [ -s ",
          pid, " ]; do sleep 0.01; done; slow=$(cat ", pid,
          "); n=0; while [ $n -lt 40 ] && kill -s STOP $slow 2>/dev/null; do sleep 0.2; n=$((n + 1)); ",
          "kill -s CONT $slow; sleep 0.02; done; wait $!"));
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.out,
              ContainsRegex("\nrank 1 \\([^)]+\\): (products|copies) 0\\.[0-9]+ of the median rank's \\("));
}

// The file that is written has no name while it is.
TEST(BenchRanks, KilledWhileItWritesItLeavesNothing) {
  const TempDirectory disk;
  const Outcome outcome =
      run_command(str(LIME_PROGRAM, " bench ranks --seconds 2 --out ", disk.path(),
                      " & until ls -l /proc/$!/fd | grep -q lime-bench || ! kill -0 $!; do sleep 0.01; done; "
                      "kill -s KILL $!; wait $!"));
  EXPECT_EQ(outcome.exit_code, 137) << outcome.err;
  EXPECT_TRUE(std::filesystem::is_empty(disk.path()));
}

TEST(BenchRanks, MistakesAreOneLine) {
  expect_mistake("bench ranks --data nowhere", "nowhere: no such directory");
  expect_mistake("bench ranks --out nowhere", "there is no directory nowhere");
  expect_mistake("bench ranks --device gpu", "device 'gpu'");
  expect_mistake("bench ranks --json nowhere/x.json", "there is no directory nowhere");
  expect_mistake("bench ranks --seconds 0", "--seconds");
}

}  // namespace
}  // namespace lime
