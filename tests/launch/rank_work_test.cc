// Which rank is called slow, and how often.
#include "launch/rank_work.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lime {
namespace {

using testing::HasSubstr;

// 100 ms a step, a window 30 steps.
class RankWorkTest : public testing::Test {
 protected:
  // The warnings of so many windows in which ranks worked so long a step.
  std::vector<std::string> windows(int n, const std::vector<double>& work_ms, std::vector<double> rows = {},
                                   std::vector<double> read_ms = {}, double step_ms = 100) {
    rows.resize(work_ms.size(), rows.empty() ? 1000 : rows.back());
    read_ms.resize(work_ms.size());
    std::vector<RankTurn> turns;
    for (size_t r = 0; r < work_ms.size(); ++r) turns.push_back({work_ms[r], read_ms[r], rows[r]});
    std::vector<std::string> said;
    for (int step = 0; step < 30 * n; ++step) {
      work_.add(turns);
      if (const auto warning = work_.end_step(step_ms)) said.push_back(*warning);
    }
    return said;
  }
  // Past the first steps, which do not count.
  void warm_up(int ranks) {
    for (int i = 0; i < 3; ++i) {
      work_.add(std::vector<RankTurn>(static_cast<size_t>(ranks), {1e6, 0, 1}));
      EXPECT_FALSE(work_.end_step(1e6));
    }
    work_.take_spread();
  }

  RankWork work_{{"node1", "node1", "node2", "node2"}};
};

TEST_F(RankWorkTest, TheSlowRankIsNamedOnceAndAgainOnlyAfterItGotWell) {
  warm_up(4);
  const auto said = windows(3, {23, 22, 41, 24});
  ASSERT_EQ(said.size(), 1u);
  EXPECT_EQ(
      said[0],
      "rank 2 (node2) works 1.8 times as long a step as the median rank (41 ms for 23): are there other "
      "jobs on its host, or is its processor or GPU throttled? (lime bench ranks)");
  EXPECT_TRUE(windows(1, {23, 22, 30, 24}).empty());  // better, not well
  EXPECT_TRUE(windows(1, {23, 22, 41, 24}).empty());
  EXPECT_TRUE(windows(1, {23, 22, 25, 24}).empty());  // well
  EXPECT_EQ(windows(1, {23, 22, 41, 24}).size(), 1u);
}

TEST_F(RankWorkTest, AnotherRankIsNamedToo) {
  warm_up(4);
  EXPECT_EQ(windows(2, {23, 22, 41, 24}).size(), 1u);
  const auto said = windows(2, {60, 22, 41, 24});
  ASSERT_EQ(said.size(), 1u);
  EXPECT_THAT(said[0], HasSubstr("rank 0 (node1) works 2.5 times"));
}

TEST_F(RankWorkTest, EvenRanksAreNot) {
  warm_up(4);
  EXPECT_TRUE(windows(5, {23, 22, 29, 24}).empty());
  EXPECT_TRUE(windows(1, {0, 0, 0, 0}).empty());  // clocks that tell nothing
  RankWork one({"node1"});
  for (int i = 0; i < 100; ++i) {
    one.add(std::vector<RankTurn>{{40, 0, 10}});
    EXPECT_FALSE(one.end_step(100));
  }
  EXPECT_FALSE(one.take_spread());
}

TEST_F(RankWorkTest, OfTwoRanksTheSlowerIsComparedWithTheFaster) {
  warm_up(2);
  const auto said = windows(1, {9.04, 18});
  ASSERT_EQ(said.size(), 1u);
  EXPECT_THAT(said[0],
              HasSubstr("rank 1 (node1) works 2.0 times as long a step as the median rank (18 ms for 9.0)"));
}

TEST_F(RankWorkTest, MoreRowsAreNoFault) {
  warm_up(4);
  EXPECT_TRUE(windows(3, {23, 22, 41, 24}, {1000, 1000, 1700, 1000}).empty());
  // Twice the rows, four times the work.
  EXPECT_EQ(windows(1, {23, 22, 90, 24}, {1000, 1000, 2000, 1000}).size(), 1u);
}

TEST_F(RankWorkTest, AWaitForDataIsNamed) {
  warm_up(4);
  const auto said = windows(1, {23, 22, 24, 23}, {}, {0, 0, 0, 31});
  ASSERT_EQ(said.size(), 1u);
  EXPECT_THAT(said[0], HasSubstr("rank 3 (node2) works 2.3 times as long"));
  EXPECT_THAT(said[0], HasSubstr("it waits 31 ms of them for its data"));
}

TEST_F(RankWorkTest, WhatHardlyCostsTimeIsNotNamed) {
  warm_up(4);
  EXPECT_TRUE(windows(1, {2, 2, 4, 2}).empty());  // 2 ms of 100
  EXPECT_EQ(windows(1, {2, 2, 8, 2}).size(), 1u);
}

TEST_F(RankWorkTest, AWindowIsTenStepsAndThreeSeconds) {
  warm_up(4);
  EXPECT_TRUE(windows(1, {23, 22, 41, 24}, {}, {}, 50).empty());   // half a window's time
  EXPECT_EQ(windows(1, {23, 22, 41, 24}, {}, {}, 51).size(), 1u);  // the other half
  RankWork other({"a", "b"});
  const std::vector<RankTurn> turns = {{1000, 0, 1}, {4000, 0, 1}};
  for (int i = 0; i < 12; ++i) {
    other.add(turns);
    EXPECT_FALSE(other.end_step(5000)) << i;
  }
  other.add(turns);
  EXPECT_TRUE(other.end_step(5000));  // three steps that do not count, and ten
}

TEST_F(RankWorkTest, SpreadIsAStepOfTheTurnsSinceTheLast) {
  EXPECT_FALSE(work_.take_spread());
  work_.add(std::vector<RankTurn>{{0, 50, 1}, {0, 10, 1}, {0, 10, 1}});  // before the first step
  EXPECT_FALSE(work_.take_spread());
  work_.add(std::vector<RankTurn>{{10, 1, 1}, {20, 2, 1}, {30, 3, 1}});
  work_.add(std::vector<RankTurn>{{10, 1, 1}, {20, 2, 1}, {20, 1, 1}});
  const auto spread = work_.take_spread();
  ASSERT_TRUE(spread);
  EXPECT_DOUBLE_EQ(spread->fastest_ms, 11);
  EXPECT_DOUBLE_EQ(spread->median_ms, 22);
  EXPECT_DOUBLE_EQ(spread->slowest_ms, 27);
  EXPECT_EQ(spread->slowest, 2);
  EXPECT_FALSE(work_.take_spread());
}

}  // namespace
}  // namespace lime
