// What a feature alone ranks, against the definition: pair by pair.
#include "io/value_rates.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "runtime/philox.h"

namespace lime {
namespace {

struct Row {
  uint64_t request = 0;
  std::vector<int64_t> values, outcome;
};

uint64_t hash(int64_t request) { return mix64(static_cast<uint64_t>(request)); }

ValueRates counted(const std::vector<Row>& rows, bool lists, size_t labels = 2) {
  ValueRates rates(labels, lists);
  for (const auto& row : rows) rates.add(row.request, row.values, row.outcome);
  return rates;
}

// The rate of a value, or of being missing (-1), in a fold.
double rate(const std::vector<Row>& rows, uint64_t fold, int64_t value, size_t label) {
  double candidates = 0, positives = 0, all = 0, all_positives = 0;
  for (const auto& row : rows) {
    if ((row.request & 1) != fold) continue;
    all += static_cast<double>(row.outcome[0]);
    all_positives += static_cast<double>(row.outcome[1 + label]);
    auto times = static_cast<double>(std::count(row.values.begin(), row.values.end(), value));
    if (value < 0) times = std::ranges::all_of(row.values, [](int64_t v) { return v < 0; });
    candidates += times * static_cast<double>(row.outcome[0]);
    positives += times * static_cast<double>(row.outcome[1 + label]);
  }
  return (positives + ValueRates::prior * all_positives / all) / (candidates + ValueRates::prior);
}

double by_definition(const std::vector<Row>& rows, size_t label) {
  std::vector<double> scores;
  for (const auto& row : rows) {
    double sum = 0;
    int64_t n = 0;
    for (const int64_t value : row.values)
      if (value >= 0) sum += rate(rows, 1 - (row.request & 1), value, label), ++n;
    scores.push_back(n > 0 ? sum / static_cast<double>(n) : rate(rows, 1 - (row.request & 1), -1, label));
  }
  double in_order = 0, all = 0;
  for (size_t i = 0; i < rows.size(); ++i)
    for (size_t j = 0; j < rows.size(); ++j) {
      if ((rows[i].request & 1) != (rows[j].request & 1)) continue;
      const auto pairs =
          static_cast<double>(rows[i].outcome[1 + label] * (rows[j].outcome[0] - rows[j].outcome[1 + label]));
      all += pairs;
      const double less = scores[i] - scores[j];
      in_order += std::abs(less) < 1e-12 ? pairs / 2 : less > 0 ? pairs : 0;
    }
  return in_order / all;
}

// Rows of requests of one or several candidates, with values that say something and values that are missing.
std::vector<Row> random_rows(int64_t requests, bool lists, int64_t most_candidates) {
  const Philox random(5, stream_of("value rates"));
  std::vector<Row> rows;
  uint64_t draw = 0;
  for (int64_t r = 0; r < requests; ++r) {
    Row row{hash(r / 2), {}, {0, 0, 0}};  // two rows a request
    int64_t value = -1;
    for (uint64_t n = lists ? random.below(4, ++draw) : 1; n > 0; --n)
      row.values.push_back(value = static_cast<int64_t>(random.below(12, ++draw)) - 1);
    for (uint64_t c = 1 + random.below(static_cast<uint64_t>(most_candidates), ++draw); c > 0; --c) {
      ++row.outcome[0];
      row.outcome[1] += static_cast<int64_t>(random.below(14, ++draw)) <= value;
      row.outcome[2] += random.below(3, ++draw) == 0;
    }
    rows.push_back(row);
  }
  return rows;
}

TEST(ValueRates, AreThoseOfTheDefinition) {
  for (const bool lists : {false, true})
    for (const int64_t most_candidates : {1, 5}) {
      const auto rows = random_rows(300, lists, most_candidates);
      const ValueRates rates = counted(rows, lists);
      for (const size_t label : {size_t{0}, size_t{1}})
        EXPECT_NEAR(rates.auc(label), by_definition(rows, label), 1e-9) << lists << most_candidates << label;
      EXPECT_GT(rates.auc(0), 0.55);
    }
}

TEST(ValueRates, NobodyScoresItself) {
  // Ids that come once, each with a label of its own: in the fold of its row it would say all.
  std::vector<Row> once, always;
  for (int64_t r = 0; r < 20'000; ++r) {
    const int64_t positive = hash(r + 1'000'000) % 3 == 0;
    once.push_back({hash(r), {r}, {1, positive}});
    always.push_back({hash(r), {7}, {1, positive}});
  }
  EXPECT_DOUBLE_EQ(counted(once, false, 1).auc(0), 0.5);
  EXPECT_DOUBLE_EQ(counted(always, false, 1).auc(0), 0.5);
  EXPECT_DOUBLE_EQ(counted(once, true, 1).auc(0), 0.5);
}

TEST(ValueRates, ALabelOfOneKindHasNone) {
  EXPECT_TRUE(std::isnan(ValueRates(1, false).auc(0)));
  EXPECT_TRUE(std::isnan(counted({{2, {1}, {1, 1}}, {3, {2}, {1, 1}}}, false, 1).auc(0)));
  EXPECT_TRUE(
      std::isnan(counted({{2, {1}, {1, 1}}, {3, {2}, {1, 0}}}, false, 1).auc(0)));  // no pair in a fold
}

TEST(ValueRates, IdsBeyondTheBoundAreOneCell) {
  // Users of two kinds, eight rows each; half of them come when all cells are taken.
  ValueRates rates(1, false);
  const auto users = static_cast<int64_t>(2 * ValueRates::kept);
  for (int64_t round = 0; round < 8; ++round)
    for (int64_t user = 0; user < users; ++user) {
      const int64_t row = 8 * user + round, positive = hash(row) % 10 < (user % 2 == 0 ? 9u : 1u);
      rates.add(hash(row + 8 * users), {{user}}, {{1, positive}});
    }
  EXPECT_NEAR(rates.auc(0), 0.79, 0.015);  // 0.8 if each cell's rate were known
  ValueRates order(1, false);              // ids after a click, else none
  for (int64_t row = 0; row < 3 * users; ++row)
    order.add(hash(row), {{row % 2 == 0 ? row : -1}}, {{1, row % 2 == 0}});
  EXPECT_DOUBLE_EQ(order.auc(0), 1);
}

TEST(ValueRates, OfManyListsSomeAreScored) {
  const int64_t requests = 400'000;  // of 2 to 4 numbers each
  ValueRates lists(1, true), ids(1, false);
  for (int64_t r = 0; r < requests; ++r) {
    const auto value = static_cast<int64_t>(hash(r + requests) % 20);
    const int64_t positive = static_cast<int64_t>(hash(r - requests) % 20) < value;
    lists.add(hash(r), std::vector<int64_t>(static_cast<size_t>(r % 2 + 1), value), {{1, positive}});
    ids.add(hash(r), {{value}}, {{1, positive}});
  }
  EXPECT_NEAR(lists.auc(0), ids.auc(0), 0.003);
  EXPECT_NE(lists.auc(0), ids.auc(0));
}

}  // namespace
}  // namespace lime
