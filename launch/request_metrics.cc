#include "launch/request_metrics.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <vector>

namespace lime {
namespace {

// What a gain at this rank (from 0) counts; nothing beyond ndcg_ranks.
double discount(int64_t rank) {
  static const auto table = [] {
    std::array<double, ndcg_ranks> values{};
    for (size_t r = 0; r < values.size(); ++r) values[r] = 1 / std::log2(static_cast<double>(r) + 2);
    return values;
  }();
  return rank < ndcg_ranks ? table[static_cast<size_t>(rank)] : 0;
}

double best_dcg(std::span<const ScoredRow> rows) {
  std::vector<float> gains;
  for (const auto& row : rows) gains.push_back(row.label);
  const auto counted = std::min<size_t>(gains.size(), ndcg_ranks);
  std::partial_sort(gains.begin(), gains.begin() + static_cast<std::ptrdiff_t>(counted), gains.end(),
                    std::greater<>());
  double dcg = 0;
  for (size_t r = 0; r < counted; ++r)
    dcg += static_cast<double>(gains[r]) * discount(static_cast<int64_t>(r));
  return dcg;
}

// Expected 1 / rank of the first of `positives` among `tied` candidates that stand behind `before` others.
double expected_reciprocal_rank(int64_t before, int64_t tied, int64_t positives) {
  double expected = 0, none_yet = 1;
  for (int64_t place = 0; place <= tied - positives; ++place) {
    const double here = none_yet * static_cast<double>(positives) / static_cast<double>(tied - place);
    expected += here / static_cast<double>(before + place + 1);
    none_yet -= here;
  }
  return expected;
}

}  // namespace

std::optional<RequestMetrics> request_metrics(std::span<const ScoredRow> rows) {
  const double auc = auc_of_sorted(rows);
  if (std::isnan(auc)) return std::nullopt;
  double mrr = 0, dcg = 0;
  const auto all = static_cast<int64_t>(rows.size());
  for (int64_t before = 0; before < all && (mrr == 0 || before < ndcg_ranks);) {
    int64_t tied = 0, positives = 0;
    double gain = 0, counts = 0;
    for (size_t r = static_cast<size_t>(all - before); r-- > 0; ++tied) {
      if (tied > 0 && rows[r].logit != rows[r + 1].logit) break;
      positives += is_positive(rows[r].label) ? 1 : 0;
      gain += static_cast<double>(rows[r].label);
      counts += discount(before + tied);
    }
    dcg += gain / static_cast<double>(tied) * counts;
    if (mrr == 0 && positives > 0) mrr = expected_reciprocal_rank(before, tied, positives);
    before += tied;
  }
  return RequestMetrics{auc, mrr, dcg / best_dcg(rows)};
}

}  // namespace lime
