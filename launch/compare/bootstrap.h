// The bootstrap over users: how far metrics would move if other users of the same kind had been there.
//
// A resample draws as many users as there are, with replacement (Efron, "Bootstrap methods: another look at
// the jackknife", 1979); a user who is drawn w times counts w times with all rows, as w users. Every set of
// rows is resampled with the same draws, so that differences between models are paired. Draws are Philox's,
// by (seed, resample, user): results are the same bits for any number of threads.
//
// The cost of a resample is one pass over rows that were sorted once: AUC and WT-AUC count pairs with the
// users' counts as integer weights; the others are sums over users.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "launch/metrics.h"

namespace lime {

using MetricValues = std::array<double, metric_names.size()>;  // by kind; NaN where one is not defined

// The distinct users of some rows, ascending.
std::vector<int64_t> distinct_users(std::span<const ScoredRow>);

// Rows of one model, prepared for resampling.
class ResampledRows {
 public:
  static constexpr size_t lanes = 8;  // resamples computed side by side
  using LaneValues = std::array<MetricValues, lanes>;

  // Every row's user is one of `users` (ascending). No logit is NaN.
  ResampledRows(std::vector<ScoredRow> rows, const std::vector<int64_t>& users, bool with_watch_time);

  // The metrics of `lanes` resamples; counts: users x lanes.
  LaneValues metrics(std::span<const uint8_t> counts) const;

 private:
  enum class Tie : uint8_t { none, goes_on, ends };  // with rows of the same logit
  struct Row {
    uint32_t user;
    float positive_weight;  // watch time of a positive, >= 0; -1 of a negative
    Tie tie;
  };
  struct User {
    uint32_t user;
    double rows;  // this and all below: sums
    double labels = 0, loss = 0;
    double gauc_rows = 0, gauc = 0;                     // gauc: gauc_rows times the user's own AUC
    double requests = 0, r_auc = 0, mrr = 0, ndcg = 0;  // of requests with both classes
  };

  static void add_requests(std::span<const ScoredRow> own, User& user);

  template <bool watched>
  void count_pairs(std::span<const uint8_t> counts, LaneValues& values) const;

  std::vector<Row> rows_;    // ascending by logit
  std::vector<User> users_;  // those that have rows
  bool with_watch_time_;
};

// How often each user is drawn in resamples first .. first + lanes - 1: users x lanes.
std::vector<uint8_t> draw_users(int64_t users, uint64_t seed, int64_t first);

// values[set][resample], for all sets with the same draws. `progress`: resamples done; called on this thread
// or another, one at a time.
using ResampleProgress = std::function<void(int64_t done)>;
std::vector<std::vector<MetricValues>> resample(const std::vector<ResampledRows>& sets, int64_t users,
                                                int64_t resamples, uint64_t seed, int threads,
                                                const ResampleProgress& progress = {});

struct Estimate {
  double value, low, high;
  bool excludes(double x) const { return low > x || high < x; }  // false where undefined
};
// `value` with the percentile interval (linear between order statistics) that holds `level` of the values.
// Undefined (NaN) where more than a tenth of them are.
Estimate estimate(double value, std::vector<double> resampled, double level = 0.95);

}  // namespace lime
