// Metrics against their definitions, computed pair by pair.
#include "launch/metrics.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <map>
#include <random>
#include <vector>

#include "runtime/error.h"

namespace lime {
namespace {

struct PairSums {
  long double won = 0, pairs = 0;
  double auc() const { return pairs > 0 ? static_cast<double>(won / pairs) : std::nan(""); }
};

// The definition: over all (positive, negative) pairs, weighted, the share that is ranked right; ties count
// half.
double auc_by_pairs(const std::vector<ScoredRow>& rows, bool watch_time) {
  PairSums sums;
  for (const auto& p : rows) {
    if (p.label < 0.5f) continue;
    for (const auto& n : rows) {
      if (n.label >= 0.5f) continue;
      const long double weight = watch_time ? std::max(0.0f, p.watch_time) : 1.0f;
      sums.pairs += weight;
      sums.won += weight * (p.logit > n.logit ? 1.0L : p.logit == n.logit ? 0.5L : 0.0L);
    }
  }
  return sums.auc();
}

double gauc_by_users(const std::vector<ScoredRow>& rows, int64_t* users) {
  std::map<int64_t, std::vector<ScoredRow>> by_user;
  for (const auto& row : rows) by_user[row.user].push_back(row);
  long double sum = 0, weight = 0;
  *users = 0;
  for (const auto& [user, theirs] : by_user) {
    const double auc = auc_by_pairs(theirs, false);
    if (std::isnan(auc)) continue;
    sum += auc * static_cast<long double>(theirs.size());
    weight += static_cast<long double>(theirs.size());
    ++*users;
  }
  return weight > 0 ? static_cast<double>(sum / weight) : std::nan("");
}

long double log_loss_by_rows(const std::vector<ScoredRow>& rows) {
  long double sum = 0;
  for (const auto& row : rows) {
    const long double p = 1 / (1 + std::exp(-static_cast<long double>(row.logit)));
    sum -= row.label * std::log(p) + (1 - row.label) * std::log1p(-p);
  }
  return sum / static_cast<long double>(rows.size());
}

// `levels` > 0: scores on a grid, so that many are tied.
std::vector<ScoredRow> random_rows(uint32_t seed, int n, int levels, double base_rate = 0.3) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::uniform_real_distribution<float> uniform;
  std::vector<ScoredRow> rows(static_cast<size_t>(n));
  for (auto& row : rows) {
    row.logit = normal(random);
    if (levels > 0)
      row.logit = std::round(row.logit * static_cast<float>(levels)) / static_cast<float>(levels);
    row.label = uniform(random) < base_rate ? 1.0f : 0.0f;
    row.watch_time = std::floor(20 * uniform(random)) / 4;
    row.user = static_cast<int64_t>(random() % 17) - 3;
    row.day = static_cast<int32_t>(random() % 3);
  }
  return rows;
}

void expect_same_bits(const Metrics& a, const Metrics& b) {
  EXPECT_EQ(a.rows, b.rows);
  EXPECT_EQ(a.positives, b.positives);
  EXPECT_EQ(a.gauc_users, b.gauc_users);
  for (const auto member : {&Metrics::ne, &Metrics::log_loss, &Metrics::auc, &Metrics::gauc, &Metrics::wt_auc,
                            &Metrics::calibration})
    EXPECT_EQ(std::bit_cast<uint64_t>(a.*member), std::bit_cast<uint64_t>(b.*member));
}

class MetricsOnRows : public testing::TestWithParam<int> {};  // levels of the scores

TEST_P(MetricsOnRows, AgreeWithTheirDefinitions) {
  for (uint32_t seed = 1; seed <= 5; ++seed) {
    const auto rows = random_rows(seed, 400, GetParam());
    const Metrics m = compute_metrics(rows, true);
    int64_t users = 0;
    const double gauc = gauc_by_users(rows, &users);
    EXPECT_EQ(m.rows, 400);
    EXPECT_NEAR(m.auc, auc_by_pairs(rows, false), 1e-14);
    EXPECT_NEAR(m.wt_auc, auc_by_pairs(rows, true), 1e-14);
    EXPECT_NEAR(m.gauc, gauc, 1e-14);
    EXPECT_EQ(m.gauc_users, users);
    long double positives = 0, predicted = 0;
    for (const auto& row : rows) {
      positives += row.label;
      predicted += 1 / (1 + std::exp(-static_cast<long double>(row.logit)));
    }
    const long double rate = positives / 400;
    const long double entropy = -rate * std::log(rate) - (1 - rate) * std::log(1 - rate);
    EXPECT_EQ(m.positives, static_cast<int64_t>(positives));
    EXPECT_NEAR(m.log_loss, static_cast<double>(log_loss_by_rows(rows)), 1e-15);
    EXPECT_NEAR(m.ne, static_cast<double>(log_loss_by_rows(rows) / entropy), 1e-14);
    EXPECT_NEAR(m.calibration, static_cast<double>(predicted / positives), 1e-14);
  }
}

TEST_P(MetricsOnRows, AreTheSameBitsInAnyOrder) {
  auto rows = random_rows(7, 3000, GetParam());
  for (size_t i = 0; i < rows.size(); i += 5) rows[i].label = 0.25f * static_cast<float>(i % 5);
  const Metrics first = compute_metrics(rows, true);
  std::mt19937 random(3);
  for (int i = 0; i < 5; ++i) {
    std::shuffle(rows.begin(), rows.end(), random);
    expect_same_bits(compute_metrics(rows, true), first);
  }
}

INSTANTIATE_TEST_SUITE_P(Ties, MetricsOnRows, testing::Values(0, 1, 4));

TEST(Metrics, KnownByHand) {
  // Positives at 2 and 0; negatives at 1 and 0: pairs won 1 + 1 + 0 + 1/2 of 4. Watch times 3 and 1: 6.5
  // of 8.
  const std::vector<ScoredRow> rows{{2, 1, 3, 0, 1}, {0, 1, 1, 0, 1}, {1, 0, 9, 0, 1}, {-0.0f, 0, 9, 0, 1}};
  const Metrics m = compute_metrics(rows, true);
  EXPECT_EQ(m.auc, 2.5 / 4);
  EXPECT_EQ(m.wt_auc, 6.5 / 8);
  EXPECT_EQ(m.gauc, 2.5 / 4);
  EXPECT_EQ(m.gauc_users, 1);
  EXPECT_TRUE(std::isnan(compute_metrics(rows, false).wt_auc));
}

TEST(Metrics, AConstantPredictionOfTheBaseRateHasNeOne) {
  std::vector<ScoredRow> rows(10);
  for (size_t i = 0; i < rows.size(); ++i) rows[i] = {std::log(0.3f / 0.7f), i < 3 ? 1.0f : 0.0f, 1, 0, 0};
  const Metrics m = compute_metrics(rows, false);
  EXPECT_NEAR(m.ne, 1.0, 1e-7);
  EXPECT_NEAR(m.calibration, 1.0, 1e-7);
  EXPECT_EQ(m.auc, 0.5);
}

TEST(Metrics, UndefinedOnesAreNaN) {
  const Metrics empty = compute_metrics({}, true);
  EXPECT_EQ(empty.rows, 0);
  for (const auto member : {&Metrics::ne, &Metrics::log_loss, &Metrics::auc, &Metrics::gauc, &Metrics::wt_auc,
                            &Metrics::calibration})
    EXPECT_TRUE(std::isnan(empty.*member));

  const Metrics negatives = compute_metrics({{1, 0, 1, 0, 1}, {2, 0, 1, 0, 2}}, true);
  EXPECT_TRUE(std::isnan(negatives.auc) && std::isnan(negatives.gauc) && std::isnan(negatives.wt_auc));
  EXPECT_TRUE(std::isnan(negatives.ne) && std::isnan(negatives.calibration));
  EXPECT_EQ(negatives.gauc_users, 0);
  EXPECT_GT(negatives.log_loss, 1);

  const Metrics positives = compute_metrics({{1, 1, 1, 0, 1}, {2, 1, 1, 0, 2}}, true);
  EXPECT_TRUE(std::isnan(positives.auc) && std::isnan(positives.ne));
  EXPECT_NEAR(positives.calibration, (1 / (1 + std::exp(-1.0)) + 1 / (1 + std::exp(-2.0))) / 2, 1e-15);

  const Metrics no_watch = compute_metrics({{1, 1, 0, 0, 1}, {2, 0, 1, 0, 1}}, true);
  EXPECT_EQ(no_watch.auc, 0.0);
  EXPECT_TRUE(std::isnan(no_watch.wt_auc));

  const Metrics not_a_number = compute_metrics({{std::nanf(""), 1, 1, 0, 1}, {2, 0, 1, 0, 1}}, true);
  EXPECT_EQ(not_a_number.rows, 2);
  EXPECT_TRUE(std::isnan(not_a_number.auc) && std::isnan(not_a_number.ne));
}

TEST(Metrics, UsersWithOneClassAreLeftOutOfGauc) {
  const std::vector<ScoredRow> rows{{2, 1, 0, 0, 1}, {1, 0, 0, 0, 1},  // user 1: AUC 1, two rows
                                    {1, 1, 0, 0, 2}, {2, 0, 0, 0, 2},
                                    {3, 0, 0, 0, 2},                    // user 2: AUC 0, three rows
                                    {9, 1, 0, 0, 3}, {8, 1, 0, 0, 3}};  // user 3: no negative
  const Metrics m = compute_metrics(rows, false);
  EXPECT_EQ(m.gauc_users, 2);
  EXPECT_DOUBLE_EQ(m.gauc, 2.0 / 5.0);
}

TEST(Metrics, HugeLogitsStayFinite) {
  const float big = 1e30f;
  const Metrics right = compute_metrics({{big, 1, 1, 0, 1}, {-big, 0, 1, 0, 1}}, true);
  EXPECT_EQ(right.log_loss, 0.0);
  EXPECT_EQ(right.auc, 1.0);
  EXPECT_EQ(right.calibration, 1.0);
  const Metrics wrong = compute_metrics({{-1000, 1, 1, 0, 1}, {1000, 0, 1, 0, 1}}, true);
  EXPECT_DOUBLE_EQ(wrong.log_loss, 1000.0);
  EXPECT_EQ(wrong.auc, 0.0);
  const float infinity = std::numeric_limits<float>::infinity();
  const Metrics infinite =
      compute_metrics({{infinity, 1, 1, 0, 1}, {-infinity, 0, 1, 0, 1}, {0, 0, 1, 0, 1}}, true);
  EXPECT_DOUBLE_EQ(infinite.log_loss, std::log(2.0) / 3);
  EXPECT_EQ(infinite.auc, 1.0);
  EXPECT_EQ(compute_metrics({{-infinity, 1, 1, 0, 1}, {0, 0, 1, 0, 1}}, true).log_loss, infinity);
}

TEST(Metrics, CountsOfPairsAreExactForManyRows) {
  // 300,000 x 300,000 pairs: more than a float or an int32 counts. Positive i beats the i negatives below it,
  // ties one.
  const int64_t n = 300000;
  std::vector<ScoredRow> rows;
  for (int64_t i = 0; i < n; ++i) {
    rows.push_back({static_cast<float>(i), 1, 1, 0, 0});
    rows.push_back({static_cast<float>(i), 0, 1, 0, 0});
  }
  const Metrics m = compute_metrics(rows, true);
  EXPECT_EQ(m.auc, 0.5);
  rows.push_back({-1, 1, 1, 0, 0});
  const double won = static_cast<double>(n) * static_cast<double>(n) / 2;
  EXPECT_EQ(compute_metrics(rows, true).auc, won / (static_cast<double>(n + 1) * static_cast<double>(n)));
}

}  // namespace
}  // namespace lime
