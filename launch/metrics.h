// Ranking metrics, exact, and the same for any number of ranks: rows are merged, never averages.
// docs/metrics.md has the definitions.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace lime {

// One scored candidate for one task.
struct ScoredRow {
  float logit = 0;
  float label = 0;       // 0 or 1; other values count as label >= 0.5 for AUC and as they are for NE
  float watch_time = 0;  // weight of a positive in WT-AUC; below 0 counts as 0
  int32_t day = 0;
  int64_t user = 0;
  int64_t request = -1;  // of the user and day: its row in the day's part; -1: it has no other candidate
};

// A metric that is not defined (one class only, no rows, a logit that is NaN) is NaN, printed as "-" and
// written as null.
struct Metrics {
  int64_t rows = 0;
  int64_t positives = 0;  // label >= 0.5
  double ne = 0;          // mean log loss / entropy of the base rate
  double log_loss = 0;
  double auc = 0;   // exact by sorting; ties count half
  double gauc = 0;  // per-user AUC weighted by the user's rows, users with one class left out
  int64_t gauc_users = 0;
  double wt_auc = 0;       // AUC in which each positive counts its watch time
  double calibration = 0;  // mean prediction / base rate
  // Means over requests with candidates of both classes (launch/request_metrics.h)
  int64_t ranked_requests = 0;
  double r_auc = 0, mrr = 0, ndcg = 0;
};

// Those that models are compared by, as tables and as JSON name them.
enum class MetricKind : uint8_t { auc, gauc, r_auc, mrr, ndcg, ne, wt_auc };
struct MetricName {
  MetricKind kind;
  const char* title;  // "AUC"
  const char* key;    // "auc"
  double Metrics::*value;
};
constexpr std::array<MetricName, 7> metric_names = {
    {{MetricKind::auc, "AUC", "auc", &Metrics::auc},
     {MetricKind::gauc, "GAUC", "gauc", &Metrics::gauc},
     {MetricKind::r_auc, "R-AUC", "r_auc", &Metrics::r_auc},
     {MetricKind::mrr, "MRR", "mrr", &Metrics::mrr},
     {MetricKind::ndcg, "nDCG@10", "ndcg", &Metrics::ndcg},
     {MetricKind::ne, "NE", "ne", &Metrics::ne},
     {MetricKind::wt_auc, "WT-AUC", "wt_auc", &Metrics::wt_auc}}};
constexpr std::array<MetricKind, metric_names.size()> metric_kinds = [] {
  std::array<MetricKind, metric_names.size()> kinds{};
  for (size_t k = 0; k < kinds.size(); ++k) kinds[k] = metric_names[k].kind;
  return kinds;
}();
// Of the order within a request, which one candidate alone has none of.
constexpr bool is_of_requests(MetricKind kind) {
  return kind == MetricKind::r_auc || kind == MetricKind::mrr || kind == MetricKind::ndcg;
}
inline const char* to_string(MetricKind kind) { return metric_names[static_cast<size_t>(kind)].title; }
inline const char* json_key(MetricKind kind) { return metric_names[static_cast<size_t>(kind)].key; }
inline double value_of(const Metrics& metrics, MetricKind kind) {
  return metrics.*metric_names[static_cast<size_t>(kind)].value;
}

// Rows in any order: the same bits for every order of the same rows. Counts of pairs are exact integers (up
// to 2^32 rows), sums are compensated and run in an order of the rows' own values. Linear time (radix sorts),
// twice the rows' memory.
Metrics compute_metrics(std::vector<ScoredRow> rows, bool with_watch_time);

// What they are made of.
bool is_positive(float label);                     // label >= 0.5
double log_loss(double logit, double label);       // stable for any logit
double probability(double logit);                  // sigmoid
double entropy(double p);                          // of a base rate, in nats; 0 at 0 and 1
double auc_of_sorted(std::span<const ScoredRow>);  // of rows ascending by logit

}  // namespace lime
