#include "launch/compare/bootstrap.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <iterator>
#include <limits>
#include <mutex>
#include <thread>
#include <tuple>
#include <utility>

#include "launch/request_metrics.h"
#include "runtime/error.h"
#include "runtime/philox.h"

namespace lime {
namespace {

constexpr double undefined = std::numeric_limits<double>::quiet_NaN();
constexpr size_t lanes = ResampledRows::lanes;
using Lane = std::array<double, lanes>;

// Pairs (positive above negative) of all lanes at once, ties counting half: see metrics.cc for one. Whole
// numbers below 2^53 in doubles are exact, which vectors of the processor add.
template <bool watched>
class PairLanes {
 public:
  void add_positive(const uint8_t* counts, [[maybe_unused]] double weight) {
    for (size_t l = 0; l < lanes; ++l) {
      tied_positive_[l] += counts[l];
      if constexpr (watched) tied_watched_[l] += counts[l] * weight;
    }
  }
  void add_negative(const uint8_t* counts) {
    for (size_t l = 0; l < lanes; ++l) tied_negative_[l] += counts[l];
  }
  // A row whose logit no other has.
  void add_lone_positive(const uint8_t* counts, [[maybe_unused]] double weight) {
    for (size_t l = 0; l < lanes; ++l) {
      const double below = counts[l] * (2 * negative_[l]);
      pairs_[l] += below;
      positive_[l] += counts[l];
      if constexpr (watched) watched_pairs_[l] += weight * below;
      if constexpr (watched) watched_[l] += counts[l] * weight;
    }
  }
  void add_lone_negative(const uint8_t* counts) {
    for (size_t l = 0; l < lanes; ++l) negative_[l] += counts[l];
  }
  void close_tie() {
    for (size_t l = 0; l < lanes; ++l) {
      const double below = 2 * negative_[l] + tied_negative_[l];
      pairs_[l] += tied_positive_[l] * below;
      if constexpr (watched) watched_pairs_[l] += tied_watched_[l] * below;
      positive_[l] += tied_positive_[l];
      if constexpr (watched) watched_[l] += std::exchange(tied_watched_[l], 0);
      negative_[l] += tied_negative_[l];
      tied_positive_[l] = tied_negative_[l] = 0;
    }
  }
  double auc(size_t l) const { return share(pairs_[l], positive_[l], negative_[l]); }
  double watched_auc(size_t l) const { return share(watched_pairs_[l], watched_[l], negative_[l]); }

 private:
  static double share(double pairs, double positive, double negative) {
    return positive > 0 && negative > 0 ? pairs / 2 / (positive * negative) : undefined;
  }

  Lane tied_positive_{}, tied_watched_{}, tied_negative_{};
  Lane positive_{}, watched_{}, negative_{}, pairs_{}, watched_pairs_{};
};

size_t at(MetricKind kind) { return static_cast<size_t>(kind); }

}  // namespace

std::vector<int64_t> distinct_users(std::span<const ScoredRow> rows) {
  std::vector<int64_t> users;
  users.reserve(rows.size());
  for (const auto& row : rows) users.push_back(row.user);
  std::sort(users.begin(), users.end());
  users.erase(std::unique(users.begin(), users.end()), users.end());
  return users;
}

ResampledRows::ResampledRows(std::vector<ScoredRow> rows, const std::vector<int64_t>& users,
                             bool with_watch_time)
    : with_watch_time_(with_watch_time) {
  const auto index_of = [&](int64_t user) {
    const auto found = std::lower_bound(users.begin(), users.end(), user);
    LIME_CHECK(found != users.end() && *found == user, "user ", user, " is not among those resampled");
    return static_cast<uint32_t>(found - users.begin());
  };
  std::sort(rows.begin(), rows.end(),
            [](const ScoredRow& a, const ScoredRow& b) { return a.logit < b.logit; });
  rows_.reserve(rows.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    const bool as_before = i > 0 && rows[i - 1].logit == rows[i].logit;
    const bool as_next = i + 1 < rows.size() && rows[i + 1].logit == rows[i].logit;
    rows_.push_back({index_of(rows[i].user),
                     is_positive(rows[i].label) ? std::max(0.0f, rows[i].watch_time) : -1.0f,
                     as_next     ? Tie::goes_on
                     : as_before ? Tie::ends
                                 : Tie::none});
  }

  std::stable_sort(rows.begin(), rows.end(),
                   [](const ScoredRow& a, const ScoredRow& b) { return a.user < b.user; });
  for (size_t begin = 0, end = 0; begin < rows.size(); begin = end) {
    while (end < rows.size() && rows[end].user == rows[begin].user) ++end;
    const auto own = std::span<const ScoredRow>(rows).subspan(begin, end - begin);
    User user{index_of(own[0].user), static_cast<double>(own.size())};
    for (const auto& row : own) {
      user.labels += row.label;
      user.loss += log_loss(row.logit, row.label);
    }
    if (const double auc = auc_of_sorted(own); !std::isnan(auc)) {
      user.gauc_rows = user.rows;
      user.gauc = user.rows * auc;
    }
    add_requests(own, user);
    users_.push_back(user);
  }
}

// `own` are those of the user, ascending by logit.
void ResampledRows::add_requests(std::span<const ScoredRow> own, User& user) {
  std::vector<ScoredRow> rows;
  std::copy_if(own.begin(), own.end(), std::back_inserter(rows),
               [](const ScoredRow& row) { return row.request >= 0; });
  const auto place = [](const ScoredRow& row) { return std::tie(row.day, row.request); };
  std::stable_sort(rows.begin(), rows.end(),
                   [&](const ScoredRow& a, const ScoredRow& b) { return place(a) < place(b); });
  for (size_t begin = 0, end = 0; begin < rows.size(); begin = end) {
    while (end < rows.size() && place(rows[end]) == place(rows[begin])) ++end;
    const auto request = request_metrics(std::span<const ScoredRow>(rows).subspan(begin, end - begin));
    if (!request) continue;
    user.requests += 1;
    user.r_auc += request->auc;
    user.mrr += request->mrr;
    user.ndcg += request->ndcg;
  }
}

template <bool watched>
void ResampledRows::count_pairs(std::span<const uint8_t> counts, LaneValues& values) const {
  PairLanes<watched> pairs;
  for (const Row& row : rows_) {
    const uint8_t* own = counts.data() + size_t{row.user} * lanes;
    const bool positive = row.positive_weight >= 0;
    if (row.tie == Tie::none) {
      positive ? pairs.add_lone_positive(own, row.positive_weight) : pairs.add_lone_negative(own);
      continue;
    }
    positive ? pairs.add_positive(own, row.positive_weight) : pairs.add_negative(own);
    if (row.tie == Tie::ends) pairs.close_tie();
  }
  for (size_t l = 0; l < lanes; ++l) {
    values[l][at(MetricKind::auc)] = pairs.auc(l);
    values[l][at(MetricKind::wt_auc)] = watched ? pairs.watched_auc(l) : undefined;
  }
}

ResampledRows::LaneValues ResampledRows::metrics(std::span<const uint8_t> counts) const {
  LaneValues values;
  if (with_watch_time_)
    count_pairs<true>(counts, values);
  else
    count_pairs<false>(counts, values);
  Lane rows{}, labels{}, loss{}, gauc_rows{}, gauc{}, requests{}, r_auc{}, mrr{}, ndcg{};
  for (const User& user : users_) {
    const uint8_t* own = counts.data() + size_t{user.user} * lanes;
    for (size_t l = 0; l < lanes; ++l) {
      const double n = own[l];
      rows[l] += n * user.rows;
      labels[l] += n * user.labels;
      loss[l] += n * user.loss;
      gauc_rows[l] += n * user.gauc_rows;
      gauc[l] += n * user.gauc;
      requests[l] += n * user.requests;
      r_auc[l] += n * user.r_auc;
      mrr[l] += n * user.mrr;
      ndcg[l] += n * user.ndcg;
    }
  }
  for (size_t l = 0; l < lanes; ++l) {
    const double base = rows[l] > 0 ? entropy(labels[l] / rows[l]) : 0.0;
    auto& mine = values[l];
    mine[at(MetricKind::ne)] = base > 0 ? loss[l] / rows[l] / base : undefined;
    mine[at(MetricKind::gauc)] = gauc_rows[l] > 0 ? gauc[l] / gauc_rows[l] : undefined;
    mine[at(MetricKind::r_auc)] = requests[l] > 0 ? r_auc[l] / requests[l] : undefined;
    mine[at(MetricKind::mrr)] = requests[l] > 0 ? mrr[l] / requests[l] : undefined;
    mine[at(MetricKind::ndcg)] = requests[l] > 0 ? ndcg[l] / requests[l] : undefined;
  }
  return values;
}

std::vector<uint8_t> draw_users(int64_t users, uint64_t seed, int64_t first) {
  std::vector<uint8_t> counts(static_cast<size_t>(users) * lanes);
  for (size_t l = 0; l < lanes; ++l) {
    const Philox random(seed, stream_of("bootstrap", static_cast<uint64_t>(first) + l));
    for (int64_t draw = 0; draw < users; ++draw) {
      const uint64_t user = random.below(static_cast<uint64_t>(users), static_cast<uint64_t>(draw));
      uint8_t& count = counts[user * lanes + l];
      if (count < 255) ++count;  // 255 draws of one user do not happen: below 1e-500
    }
  }
  return counts;
}

std::vector<std::vector<MetricValues>> resample(const std::vector<ResampledRows>& sets, int64_t users,
                                                int64_t resamples, uint64_t seed, int threads,
                                                const ResampleProgress& progress) {
  std::vector<std::vector<MetricValues>> values(sets.size(),
                                                std::vector<MetricValues>(static_cast<size_t>(resamples)));
  std::atomic<int64_t> next = 0;
  int64_t done = 0;
  std::mutex reporting;
  const auto work = [&] {
    for (int64_t first; (first = next.fetch_add(static_cast<int64_t>(lanes))) < resamples;) {
      const auto counts = draw_users(users, seed, first);
      const int64_t kept = std::min(static_cast<int64_t>(lanes), resamples - first);
      for (size_t s = 0; s < sets.size(); ++s) {
        const auto all = sets[s].metrics(counts);
        std::copy_n(all.begin(), kept, values[s].begin() + first);
      }
      const std::lock_guard lock(reporting);
      done += kept;
      if (progress) progress(done);
    }
  };
  std::vector<std::thread> others;
  for (int t = 1; t < threads; ++t) others.emplace_back(work);
  work();
  for (auto& thread : others) thread.join();
  return values;
}

Estimate estimate(double value, std::vector<double> resampled, double level) {
  const size_t all = resampled.size();
  std::erase_if(resampled, [](double x) { return std::isnan(x); });
  if (std::isnan(value) || resampled.empty() || 10 * resampled.size() < 9 * all)
    return {value, undefined, undefined};
  std::sort(resampled.begin(), resampled.end());
  const auto quantile = [&](double q) {
    const double place = q * static_cast<double>(resampled.size() - 1);
    const auto below = static_cast<size_t>(place);
    const size_t above = std::min(below + 1, resampled.size() - 1);
    return resampled[below] + (place - static_cast<double>(below)) * (resampled[above] - resampled[below]);
  };
  return {value, quantile((1 - level) / 2), quantile((1 + level) / 2)};
}

}  // namespace lime
