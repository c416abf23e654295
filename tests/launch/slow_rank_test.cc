// A job one of whose processes gets a fraction of its processor, as one that is throttled: `lime train` says
// which.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "runtime/error.h"
#include "tests/launch/train_runs.h"

namespace lime {
namespace {

using testing::ContainsRegex;

// Three ranks, of which rank 1 is stopped for most of the time until the warning is there.
TEST_F(Train, TheSlowRankIsNamed) {
  const std::string job = train_command("slow", "train.epochs=100000 --set train.log_every=100");
  const std::string pid = path("pid"), said = path("said");
  const Outcome outcome = run_command(str(
      lime_job_with_one_rank(4, 1, str("echo $$ >", pid), job), " 2>", said, " & ",
      "until grep -q 'step 100' ", said, " || ! kill -0 $!; do sleep 0.1; done; n=0; slow=$(cat ", pid, "); ",
      "until grep -q 'works [0-9.]* times' ", said, " || ! kill -0 $slow || [ $n = 600 ]; do n=$((n + 1)); ",
      "kill -s STOP $slow; sleep 0.04; kill -s CONT $slow; sleep 0.01; done; ",
      "kill -s TERM $slow; wait $!"));
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(read_file(said),
              ContainsRegex("rank 1 \\([^)]+\\) works [0-9.]+ times as long a step as the median rank \\("));
  double fastest = 0, slowest = 0;
  std::vector<int> named(4);
  for (const auto& line : metrics("slow")) {
    if (line.at("step") == 100 || !line.contains("work_ms_slowest")) continue;
    fastest += line.at("work_ms_fastest").get<double>();
    slowest += line.at("work_ms_slowest").get<double>();
    EXPECT_LE(line.at("work_ms_fastest"), line.at("work_ms_median"));
    EXPECT_LE(line.at("work_ms_median"), line.at("work_ms_slowest"));
    ++named.at(line.at("slowest_rank").get<size_t>());
  }
  EXPECT_GT(slowest, 1.5 * fastest);
  EXPECT_EQ(std::max_element(named.begin(), named.end()) - named.begin(), 1);
}

TEST_F(Train, OneRankIsComparedWithNobody) {
  train(1, "one_rank", "train.max_steps=5");
  for (const auto& line : metrics("one_rank")) EXPECT_FALSE(line.contains("slowest_rank"));
}

}  // namespace
}  // namespace lime
