// Metrics against their definitions, computed pair by pair.
#include "launch/metrics.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <random>
#include <tuple>
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

struct RequestMeans {
  double r_auc = 0, mrr = 0, ndcg = 0;
  int64_t requests = 0;
};

// The definition: over all orders of a request's candidates that the scores allow, each as likely.
RequestMeans ranks_by_orders(const std::vector<ScoredRow>& rows) {
  std::map<std::tuple<int64_t, int32_t, int64_t>, std::vector<ScoredRow>> by_request;
  for (const auto& row : rows)
    if (row.request >= 0) by_request[{row.user, row.day, row.request}].push_back(row);
  RequestMeans means;
  for (const auto& [place, theirs] : by_request) {
    const double auc = auc_by_pairs(theirs, false);
    if (std::isnan(auc)) continue;
    std::vector<size_t> order(theirs.size());
    std::iota(order.begin(), order.end(), 0);
    double mrr = 0, dcg = 0, best = 0, orders = 0;
    do {
      double gain = 0;
      bool sorted = true;
      size_t first = theirs.size();
      for (size_t r = 0; r < order.size(); ++r) {
        const auto& row = theirs[order[r]];
        sorted = sorted && (r == 0 || theirs[order[r - 1]].logit >= row.logit);
        if (row.label >= 0.5f) first = std::min(first, r);
        if (r < 10) gain += row.label / std::log2(static_cast<double>(r) + 2);
      }
      best = std::max(best, gain);
      if (!sorted) continue;
      mrr += 1 / (static_cast<double>(first) + 1);
      dcg += gain;
      ++orders;
    } while (std::next_permutation(order.begin(), order.end()));
    means.r_auc += auc;
    means.mrr += mrr / orders;
    means.ndcg += dcg / orders / best;
    ++means.requests;
  }
  const auto n = static_cast<double>(means.requests);
  return {means.r_auc / n, means.mrr / n, means.ndcg / n, means.requests};
}

// Makes requests of at most six rows of them, and leaves some rows alone.
void put_into_requests(std::vector<ScoredRow>& rows) {
  std::map<std::tuple<int64_t, int32_t, int64_t>, int> sizes;
  for (size_t i = 0; i < rows.size(); ++i) {
    rows[i].request = static_cast<int64_t>(i % 2) + (int64_t{1} << 40);
    if (++sizes[{rows[i].user, rows[i].day, rows[i].request}] > 6) rows[i].request = -1;
  }
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
  EXPECT_EQ(a.ranked_requests, b.ranked_requests);
  for (const auto member : {&Metrics::ne, &Metrics::log_loss, &Metrics::auc, &Metrics::gauc, &Metrics::wt_auc,
                            &Metrics::calibration, &Metrics::r_auc, &Metrics::mrr, &Metrics::ndcg})
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

TEST_P(MetricsOnRows, OfRequestsAreExpectedOverTies) {
  for (uint32_t seed = 1; seed <= 3; ++seed) {
    auto rows = random_rows(seed, 400, GetParam());
    for (size_t i = 0; i < rows.size(); i += 7) rows[i].label = 0.25f * static_cast<float>(i % 5);
    put_into_requests(rows);
    const Metrics m = compute_metrics(rows, false);
    const RequestMeans expected = ranks_by_orders(rows);
    ASSERT_GT(expected.requests, 50);
    EXPECT_EQ(m.ranked_requests, expected.requests);
    EXPECT_NEAR(m.r_auc, expected.r_auc, 1e-13);
    EXPECT_NEAR(m.mrr, expected.mrr, 1e-13);
    EXPECT_NEAR(m.ndcg, expected.ndcg, 1e-13);
  }
}

TEST_P(MetricsOnRows, AreTheSameBitsInAnyOrder) {
  auto rows = random_rows(7, 3000, GetParam());
  for (size_t i = 0; i < rows.size(); i += 5) rows[i].label = 0.25f * static_cast<float>(i % 5);
  put_into_requests(rows);
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

// Twelve candidates in one request, the positives at ranks 3, 10, 11 and 12: nDCG counts ten ranks.
TEST(Metrics, OfARequestKnownByHand) {
  std::vector<ScoredRow> rows;
  for (int rank = 1; rank <= 12; ++rank)
    rows.push_back({static_cast<float>(-rank), rank == 3 || rank > 9 ? 1.0f : 0.0f, 0, 0, 1, 7});
  rows.push_back({5, 1, 0, 1, 1, -1});  // the only candidate of its request
  rows.push_back({5, 1, 0, 1, 1, 7});   // of another day: all positive, which says nothing
  rows.push_back({4, 1, 0, 1, 1, 7});
  const Metrics m = compute_metrics(rows, false);
  EXPECT_EQ(m.ranked_requests, 1);
  EXPECT_DOUBLE_EQ(m.r_auc, 6.0 / 32);
  EXPECT_DOUBLE_EQ(m.mrr, 1.0 / 3);
  EXPECT_DOUBLE_EQ(m.ndcg, (1 / std::log2(4.0) + 1 / std::log2(11.0)) /
                               (1 + 1 / std::log2(3.0) + 1 / std::log2(4.0) + 1 / std::log2(5.0)));
  for (auto& row : rows) row.request = -1;
  const Metrics alone = compute_metrics(rows, false);
  EXPECT_EQ(alone.ranked_requests, 0);
  EXPECT_TRUE(std::isnan(alone.r_auc) && std::isnan(alone.mrr) && std::isnan(alone.ndcg));
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
                            &Metrics::calibration, &Metrics::r_auc, &Metrics::mrr, &Metrics::ndcg})
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
