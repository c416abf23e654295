// Ranking metrics, exact, and the same for any number of ranks: rows are merged, never averages.
// docs/metrics.md has the definitions.
#pragma once

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
};

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
