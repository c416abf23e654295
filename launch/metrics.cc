#include "launch/metrics.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <utility>

#include "launch/request_metrics.h"
#include "runtime/error.h"

namespace lime {
namespace {

constexpr double undefined = std::numeric_limits<double>::quiet_NaN();

// Neumaier's compensated sum: the error does not grow with the number of terms.
class Sum {
 public:
  void add(double x) {
    const double t = sum_ + x;
    correction_ += std::abs(sum_) >= std::abs(x) ? (sum_ - t) + x : (x - t) + sum_;
    sum_ = t;
  }
  // An infinite term makes the correction NaN; the sum itself still says what it is.
  double value() const { return std::isfinite(sum_) ? sum_ + correction_ : sum_; }

 private:
  double sum_ = 0, correction_ = 0;
};

// Bits that sort as the floats do.
uint32_t ordered_bits(float x) {
  const auto bits = std::bit_cast<uint32_t>(x);
  return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}

// Stable least-significant-digit radix sort by an unsigned key; digits that are the same in all rows cost one
// pass of counting only.
template <typename KeyOf>
void stable_sort_by(std::vector<ScoredRow>& rows, std::vector<ScoredRow>& scratch, KeyOf key_of) {
  using Key = decltype(key_of(rows[0]));
  constexpr size_t digits = sizeof(Key);
  std::array<std::array<size_t, 256>, digits> counts{};
  for (const auto& row : rows) {
    const Key key = key_of(row);
    for (size_t d = 0; d < digits; ++d) ++counts[d][(key >> (8 * d)) & 255u];
  }
  scratch.resize(rows.size());
  for (size_t d = 0; d < digits; ++d) {
    if (std::find(counts[d].begin(), counts[d].end(), rows.size()) != counts[d].end()) continue;
    size_t next = 0;
    for (auto& count : counts[d]) next += std::exchange(count, next);
    for (const auto& row : rows) scratch[counts[d][(key_of(row) >> (8 * d)) & 255u]++] = row;
    rows.swap(scratch);
  }
}

// Ascending by score; rows of one score by label and weight, so that the order does not depend on how they
// came.
void sort_by_score(std::vector<ScoredRow>& rows, std::vector<ScoredRow>& scratch) {
  stable_sort_by(rows, scratch, [](const ScoredRow& row) { return ordered_bits(row.watch_time); });
  stable_sort_by(rows, scratch, [](const ScoredRow& row) { return ordered_bits(row.label); });
  stable_sort_by(rows, scratch, [](const ScoredRow& row) { return ordered_bits(row.logit); });
}

void sort_by_user(std::vector<ScoredRow>& rows, std::vector<ScoredRow>& scratch) {
  stable_sort_by(rows, scratch,
                 [](const ScoredRow& row) { return static_cast<uint64_t>(row.user) ^ (uint64_t{1} << 63); });
}

// Counts pairs (positive above negative) over rows given in ascending order of score; tied pairs count half,
// so the count is kept doubled. With integer weights it is exact.
template <typename Weight>
class PairCounter {
 public:
  void add(float score, bool positive, Weight weight) {
    if (score != score_) close_tie();
    score_ = score;
    (positive ? tied_positive_ : tied_negative_) += weight;
  }
  double auc() {
    close_tie();
    if (!(positive_ > 0) || !(negative_ > 0)) return undefined;
    return static_cast<double>(twice_pairs_) / 2 /
           (static_cast<double>(positive_) * static_cast<double>(negative_));
  }

 private:
  void close_tie() {
    twice_pairs_ += tied_positive_ * (2 * negative_ + tied_negative_);
    positive_ += tied_positive_;
    negative_ += tied_negative_;
    tied_positive_ = tied_negative_ = 0;
  }

  float score_ = 0;
  Weight tied_positive_ = 0, tied_negative_ = 0, positive_ = 0, negative_ = 0, twice_pairs_ = 0;
};

// Each row counts its watch time; a negative counts 1 where only positives are weighed.
double watch_time_auc(std::span<const ScoredRow> rows) {
  PairCounter<double> pairs;
  for (const auto& row : rows) {
    const bool positive = is_positive(row.label);
    pairs.add(row.logit, positive, positive ? std::max(0.0f, row.watch_time) : 1.0);
  }
  return pairs.auc();
}

// log(1 + exp(x)) without overflow.
double softplus(double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))); }

// Mean of the per-user AUCs, weighted by rows. `rows` are sorted by user, then score.
void set_gauc(const std::vector<ScoredRow>& rows, Metrics& metrics) {
  Sum weighted;
  int64_t counted_rows = 0;
  for (size_t begin = 0, end = 0; begin < rows.size(); begin = end) {
    while (end < rows.size() && rows[end].user == rows[begin].user) ++end;
    const double auc = auc_of_sorted(std::span(rows).subspan(begin, end - begin));
    if (std::isnan(auc)) continue;
    const auto n = static_cast<int64_t>(end - begin);
    weighted.add(static_cast<double>(n) * auc);
    counted_rows += n;
    ++metrics.gauc_users;
  }
  metrics.gauc = counted_rows > 0 ? weighted.value() / static_cast<double>(counted_rows) : undefined;
}

// Means over requests that have both classes. Of one user and day, requests are told apart by where they
// stand; `rows` are sorted by user, then score.
void set_request_metrics(std::vector<ScoredRow>& rows, std::vector<ScoredRow>& scratch, Metrics& metrics) {
  if (std::none_of(rows.begin(), rows.end(), [](const ScoredRow& row) { return row.request >= 0; })) return;
  stable_sort_by(rows, scratch, [](const ScoredRow& row) { return static_cast<uint64_t>(row.request); });
  stable_sort_by(rows, scratch, [](const ScoredRow& row) { return static_cast<uint32_t>(row.day); });
  Sum auc, mrr, ndcg;
  for (size_t begin = 0, end = 0; begin < rows.size(); begin = end) {
    const ScoredRow& first = rows[begin];
    while (end < rows.size() && rows[end].user == first.user && rows[end].request == first.request &&
           rows[end].day == first.day)
      ++end;
    if (first.request < 0) continue;
    const auto request = request_metrics(std::span(rows).subspan(begin, end - begin));
    if (!request) continue;
    auc.add(request->auc);
    mrr.add(request->mrr);
    ndcg.add(request->ndcg);
    ++metrics.ranked_requests;
  }
  if (metrics.ranked_requests == 0) return;
  const auto n = static_cast<double>(metrics.ranked_requests);
  metrics.r_auc = auc.value() / n;
  metrics.mrr = mrr.value() / n;
  metrics.ndcg = ndcg.value() / n;
}

}  // namespace

bool is_positive(float label) { return label >= 0.5f; }

double log_loss(double logit, double label) {
  double loss = 0;  // a class with no share must not turn an infinite logit into NaN
  if (label != 0) loss += label * softplus(-logit);
  if (label != 1) loss += (1 - label) * softplus(logit);
  return loss;
}

double probability(double logit) {
  const double e = std::exp(-std::abs(logit));
  return (logit >= 0 ? 1.0 : e) / (1.0 + e);
}

double entropy(double p) { return p > 0 && p < 1 ? -(p * std::log(p) + (1 - p) * std::log1p(-p)) : 0.0; }

double auc_of_sorted(std::span<const ScoredRow> rows) {
  PairCounter<uint64_t> pairs;
  for (const auto& row : rows) pairs.add(row.logit, is_positive(row.label), 1);
  return pairs.auc();
}

Metrics compute_metrics(std::vector<ScoredRow> rows, bool with_watch_time) {
  // Twice the pairs of n rows are at most n^2 / 2, which must fit 64 bits.
  LIME_CHECK(rows.size() <= (size_t{1} << 32), "too many rows for exact counts: ", rows.size());
  Metrics metrics;
  metrics.rows = static_cast<int64_t>(rows.size());
  metrics.ne = metrics.log_loss = metrics.auc = metrics.gauc = metrics.wt_auc = metrics.calibration =
      metrics.r_auc = metrics.mrr = metrics.ndcg = undefined;
  bool has_nan = false;
  for (const auto& row : rows) {
    metrics.positives += is_positive(row.label) ? 1 : 0;
    has_nan = has_nan || std::isnan(row.logit);
  }
  if (rows.empty() || has_nan) return metrics;

  std::vector<ScoredRow> scratch;
  sort_by_score(rows, scratch);
  metrics.auc = auc_of_sorted(rows);
  if (with_watch_time) metrics.wt_auc = watch_time_auc(rows);

  Sum losses, labels, predictions;
  for (const auto& row : rows) {
    losses.add(log_loss(row.logit, row.label));
    labels.add(row.label);
    predictions.add(probability(row.logit));
  }
  const auto n = static_cast<double>(rows.size());
  const double base_rate = labels.value() / n;
  metrics.log_loss = losses.value() / n;
  if (entropy(base_rate) > 0) metrics.ne = metrics.log_loss / entropy(base_rate);
  if (base_rate > 0) metrics.calibration = predictions.value() / labels.value();

  sort_by_user(rows, scratch);
  set_gauc(rows, metrics);
  set_request_metrics(rows, scratch, metrics);
  return metrics;
}

}  // namespace lime
