// The bootstrap against brute force: a resample is the same as so many copies of each user's rows.
#include "launch/compare/bootstrap.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "runtime/philox.h"

namespace lime {
namespace {

// Users with few and many rows; half of the logits on a grid, so that many are tied; one user has positives
// alone.
std::vector<ScoredRow> random_rows(int users, uint64_t seed, float shift = 0) {
  const Philox random(seed, stream_of("rows"));
  std::vector<ScoredRow> rows;
  uint64_t draw = 0;
  for (int user = 0; user < users; ++user) {
    const auto own = 1 + random.below(user % 3 == 0 ? 12 : 4, draw++);
    for (uint64_t i = 0; i < own; ++i) {
      ScoredRow row;
      row.user = 1000 - 7 * user;
      row.logit = shift + static_cast<float>(random.below(9, draw++)) / 4.0f - 1.0f;
      if (i % 2 == 1) row.logit += static_cast<float>(random.uniform(draw++));  // no other has this one
      row.label = user == 1 ? 1.0f : static_cast<float>(random.below(2, draw++));
      row.watch_time = static_cast<float>(random.below(100, draw++)) / 10 - 1;  // below 0, too
      row.day = static_cast<int32_t>(i % 2);
      row.request = user % 4 == 3 ? -1 : static_cast<int64_t>(i / 4);
      rows.push_back(row);
    }
  }
  return rows;
}

// Every user as many times as drawn, each copy a user of its own.
Metrics by_copies(const std::vector<ScoredRow>& rows, const std::vector<int64_t>& users,
                  const std::vector<uint8_t>& counts, size_t lane) {
  std::vector<ScoredRow> copies;
  for (const auto& row : rows) {
    const auto user =
        static_cast<size_t>(std::lower_bound(users.begin(), users.end(), row.user) - users.begin());
    for (int copy = 0; copy < counts[user * ResampledRows::lanes + lane]; ++copy) {
      copies.push_back(row);
      copies.back().user = row.user * 1000 + copy;
    }
  }
  return compute_metrics(copies, true);
}

TEST(Bootstrap, AResampleIsCopiesOfUsers) {
  const auto rows = random_rows(40, 3);
  const auto users = distinct_users(rows);
  ASSERT_EQ(users.size(), 40u);
  ASSERT_TRUE(std::is_sorted(users.begin(), users.end()));
  const ResampledRows set(rows, users, true);
  const auto counts = draw_users(40, 5, 16);
  const auto values = set.metrics(counts);
  for (size_t lane = 0; lane < ResampledRows::lanes; ++lane) {
    const Metrics expected = by_copies(rows, users, counts, lane);
    for (const MetricKind kind : metric_kinds)
      EXPECT_NEAR(values[lane][static_cast<size_t>(kind)], value_of(expected, kind), 1e-12)
          << to_string(kind) << ", resample " << lane;
  }
}

TEST(Bootstrap, EveryUserOnceIsTheMetricItself) {
  const auto rows = random_rows(25, 4);
  const auto users = distinct_users(rows);
  const std::vector<uint8_t> once(users.size() * ResampledRows::lanes, 1);
  const auto values = ResampledRows(rows, users, true).metrics(once);
  const Metrics expected = compute_metrics(rows, true);
  EXPECT_EQ(values[0][static_cast<size_t>(MetricKind::auc)], expected.auc);
  for (const MetricKind kind : metric_kinds)
    EXPECT_NEAR(values[7][static_cast<size_t>(kind)], value_of(expected, kind), 1e-12) << to_string(kind);
}

TEST(Bootstrap, WhatIsNotDefinedIsNot) {
  auto rows = random_rows(10, 4);
  for (auto& row : rows) row.label = 0;
  const auto users = distinct_users(rows);
  const auto values = ResampledRows(rows, users, false).metrics(draw_users(10, 1, 0));
  for (const double value : values[0]) EXPECT_TRUE(std::isnan(value));
}

TEST(Bootstrap, DrawsAsManyUsersAsThereAre) {
  const auto counts = draw_users(500, 9, 0);
  double squares = 0;
  for (size_t lane = 0; lane < ResampledRows::lanes; ++lane) {
    int drawn = 0;
    for (size_t user = 0; user < 500; ++user) {
      drawn += counts[user * ResampledRows::lanes + lane];
      squares += std::pow(counts[user * ResampledRows::lanes + lane] - 1.0, 2);
    }
    EXPECT_EQ(drawn, 500);
  }
  EXPECT_NEAR(squares / (500.0 * ResampledRows::lanes), 1.0, 0.1);  // a count's variance, 1 - 1/n
  EXPECT_NE(draw_users(500, 9, 8), counts);
  EXPECT_NE(draw_users(500, 10, 0), counts);
  // The next lanes are the next resamples, however they are grouped.
  const auto later = draw_users(500, 9, 1);
  for (size_t user = 0; user < 500; ++user)
    ASSERT_EQ(later[user * ResampledRows::lanes], counts[user * ResampledRows::lanes + 1]);
}

TEST(Bootstrap, IsTheSameForAnyNumberOfThreadsAndPaired) {
  const auto rows = random_rows(60, 5);
  auto shifted = rows;
  for (auto& row : shifted) row.logit += 0.5f;  // ranks are the same, losses are not
  const auto users = distinct_users(rows);
  std::vector<ResampledRows> sets;
  sets.emplace_back(rows, users, true);
  sets.emplace_back(shifted, users, true);
  int64_t last = 0;
  const auto one = resample(sets, 60, 101, 7, 1, [&](int64_t done) { last = done; });
  EXPECT_EQ(last, 101);
  EXPECT_EQ(one, resample(sets, 60, 101, 7, 3));
  EXPECT_NE(one, resample(sets, 60, 101, 8, 1));
  ASSERT_EQ(one.size(), 2u);
  ASSERT_EQ(one[0].size(), 101u);
  for (size_t b = 0; b < one[0].size(); ++b) {
    EXPECT_EQ(one[0][b][0], one[1][b][0]);  // the same users in both
    EXPECT_NE(one[0][b][static_cast<size_t>(MetricKind::ne)], one[1][b][static_cast<size_t>(MetricKind::ne)]);
  }
  EXPECT_NE(one[0][0], one[0][1]);
}

// Of a mean over users that is known: with one row a user, the log loss of logits 0 and the labels' mean.
TEST(Bootstrap, TheSpreadIsThatOfTheMean) {
  const int n = 400;
  const Philox random(11, stream_of("spread"));
  std::vector<ScoredRow> rows(n);
  for (int user = 0; user < n; ++user) {
    rows[static_cast<size_t>(user)] = {static_cast<float>(random.normal(static_cast<uint64_t>(user))),
                                       user % 2 == 0 ? 1.0f : 0.0f, 0, 0, user};
  }
  const auto users = distinct_users(rows);
  std::vector<ResampledRows> sets;
  sets.emplace_back(rows, users, false);
  const auto values = resample(sets, n, 2000, 1, 2);
  double sum = 0, squares = 0;
  for (const auto& metrics : values[0]) {
    sum += metrics[0];
    squares += metrics[0] * metrics[0];
  }
  const double deviation = std::sqrt(squares / 2000 - std::pow(sum / 2000, 2));
  // An AUC of random scores over m positives and m negatives: sqrt((2m + 1) / (12 m^2)).
  EXPECT_NEAR(deviation, std::sqrt((n + 1) / (12.0 * 200 * 200)), 0.003);
}

TEST(Estimates, PercentilesBetweenOrderStatistics) {
  std::vector<double> values(101);
  std::iota(values.begin(), values.end(), 0.0);
  std::reverse(values.begin(), values.end());
  const Estimate e = estimate(50, values, 0.9);
  EXPECT_DOUBLE_EQ(e.low, 5);
  EXPECT_DOUBLE_EQ(e.high, 95);
  EXPECT_DOUBLE_EQ(estimate(1, {0, 1}, 0.5).low, 0.25);
  EXPECT_TRUE(Estimate({1, 0.5, 2}).excludes(0));
  EXPECT_TRUE(Estimate({-1, -2, -0.5}).excludes(0));
  EXPECT_FALSE(Estimate({1, -0.5, 2}).excludes(0));
}

TEST(Estimates, AreUndefinedWhereResamplesAre) {
  std::vector<double> values(20, 1.0);
  values[3] = NAN;
  EXPECT_EQ(estimate(1, values).low, 1);
  values[4] = values[5] = NAN;
  const Estimate e = estimate(1, values);
  EXPECT_EQ(e.value, 1);
  EXPECT_TRUE(std::isnan(e.low) && std::isnan(e.high));
  EXPECT_FALSE(e.excludes(0));
  EXPECT_TRUE(std::isnan(estimate(NAN, {1, 2}).low));
}

}  // namespace
}  // namespace lime
