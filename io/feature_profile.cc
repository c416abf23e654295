#include "io/feature_profile.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <numeric>
#include <optional>
#include <span>

#include "io/feature_shuffle.h"
#include "io/features_alone.h"
#include "io/number_boundaries.h"
#include "io/reader.h"
#include "io/value_counters.h"
#include "runtime/error.h"
#include "runtime/philox.h"

namespace lime {
namespace {

constexpr size_t groups = 256;
constexpr double least_missing = 0.05, least_distance = 0.1;  // that make a day unlike the others

// Every column as a feature, numbers in buckets, and every label.
BatchSpec all_features(const Dataset& dataset, const std::vector<std::string>& days) {
  BatchSpec spec;
  spec.tasks = dataset.schema().labels;
  spec.user.emplace_back("user");
  spec.candidate.emplace_back("item");
  const DatasetSchema& schema = dataset.schema();
  if (schema.event_items) spec.history.emplace_back("item");
  const auto add = [](std::vector<std::string>& features, const std::string& name) {
    if (std::find(features.begin(), features.end(), name) == features.end()) features.push_back(name);
  };
  for (const auto& column : schema.columns) {
    if (column.group == ColumnGroup::user || column.group == ColumnGroup::request)
      add(spec.user, column.name);
    if (column.group == ColumnGroup::item || column.group == ColumnGroup::candidate)
      add(spec.candidate, column.name);
    if (column.group == ColumnGroup::event || (column.group == ColumnGroup::item && schema.event_items))
      add(spec.history, column.name);
  }
  spec.buckets = find_buckets(dataset, days, spec, number_buckets);
  return spec;
}

// Counts of one feature on one day, by group of values; the last of them counts what is missing.
using Histogram = std::array<int64_t, groups + 1>;
using Shares = std::array<double, groups + 1>;  // of the rows

class FeatureCounts {
 public:
  FeatureCounts(FeatureSide side, const ResolvedFeature& feature, size_t days)
      : feature_(feature), days_(days) {
    profile_.name = str(to_string(side), ".", feature.name);
    profile_.kind = feature.stored_kind();
  }

  void add_row(size_t day, std::span<const int64_t> ids) {
    ++profile_.rows;
    int64_t here = 0;
    for (const int64_t id : ids) {
      if (id < 0) continue;
      ++here;
      ++days_[day][group_of(id)];
      if (feature_.buckets) continue;
      distinct_.add(id);
      frequent_.add(id);
    }
    profile_.values += here;
    if (here > 0) return;
    ++profile_.missing;
    ++days_[day][groups];
  }

  FeatureProfile profile() const {
    FeatureProfile profile = profile_;
    if (feature_.buckets) {
      add_percentiles(profile);
      return profile;
    }
    profile.distinct = distinct_.count();
    profile.distinct_is_exact = distinct_.is_exact();
    const auto found = frequent_.most_frequent();
    profile.most_frequent = found.id, profile.times = found.times;
    return profile;
  }

  const std::string& name() const { return feature_.name; }

  // `users`: of each day.
  void add_unlike_days(const std::vector<std::string>& days, const std::vector<int64_t>& users,
                       std::vector<UnlikeDay>& unlike) const {
    std::vector<Shares> shares;  // of the days that have enough users
    std::vector<size_t> places;
    for (size_t d = 0; d < days_.size(); ++d) {
      const auto rows = std::accumulate(days_[d].begin(), days_[d].end(), int64_t{0});
      if (users[d] < users_of_a_day || rows == 0) continue;
      places.push_back(d);
      shares.emplace_back();
      for (size_t g = 0; g <= groups; ++g)
        shares.back()[g] = static_cast<double>(days_[d][g]) / static_cast<double>(rows);
    }
    if (shares.size() < 2) return;
    const Shares usual = usual_day(shares);
    for (size_t i = 0; i < shares.size(); ++i) {
      const double distance = difference(shares[i], usual, users[places[i]]);
      const double missing = shares[i][groups], usually = usual[groups];
      if (distance >= least_distance || std::abs(missing - usually) >= least_missing)
        unlike.push_back({days[places[i]], profile_.name, missing, usually, distance});
    }
  }

 private:
  size_t group_of(int64_t id) const {
    return static_cast<size_t>(feature_.buckets ? static_cast<uint64_t>(id)
                                                : mix64(static_cast<uint64_t>(id)) % groups);
  }

  int64_t in_group(size_t group) const {
    return std::accumulate(days_.begin(), days_.end(), int64_t{0},
                           [group](int64_t sum, const Histogram& day) { return sum + day[group]; });
  }

  void add_percentiles(FeatureProfile& profile) const {
    const auto& boundaries = feature_.buckets->boundaries;
    if (boundaries.empty()) return;
    for (const int percent : these_percentiles) {
      size_t bucket = 0;
      for (int64_t below = in_group(0); bucket < boundaries.size() && 100 * below < percent * profile.values;)
        below += in_group(++bucket);
      profile.percentiles.push_back(bucket == 0 ? Percentile{boundaries[0], true}
                                                : Percentile{boundaries[bucket - 1], false});
    }
  }

  // Each group's median over the days, so that a day that is unlike the others does not make them unlike it.
  static Shares usual_day(const std::vector<Shares>& days) {
    Shares usual{};
    std::vector<double> group;
    for (size_t g = 0; g <= groups; ++g) {
      group.clear();
      for (const auto& day : days) group.push_back(day[g]);
      std::sort(group.begin(), group.end());
      usual[g] = (group[(group.size() - 1) / 2] + group[group.size() / 2]) / 2;
    }
    const double sum = std::accumulate(usual.begin(), usual.end(), 0.0);
    for (double& share : usual) share /= sum;
    return usual;
  }

  // Less what chance is expected to make. Rows of one user are alike, so that it makes as much as among so
  // few rows as there are users.
  static double difference(const Shares& day, const Shares& usual, int64_t users) {
    double distance = 0, chance = 0;
    for (size_t g = 0; g <= groups; ++g) {
      distance += std::abs(day[g] - usual[g]) / 2;
      const double both = (day[g] + usual[g]) / 2;
      chance += std::sqrt(2 / std::numbers::pi * both * (1 - both) / static_cast<double>(users)) / 2;
    }
    return std::max(0.0, distance - chance);
  }

  ResolvedFeature feature_;
  FeatureProfile profile_;
  DistinctCounter distinct_;
  FrequentIds frequent_;
  std::vector<Histogram> days_;
};

// The day of each row of a side.
std::vector<size_t> days_of_rows(const MicroBatch& batch, FeatureSide side) {
  std::vector<size_t> days;
  for (size_t r = 0; r < batch.day.size(); ++r) {
    const auto& offsets = side == FeatureSide::history ? batch.history_offsets : batch.candidate_offsets;
    const int64_t rows = side == FeatureSide::user ? 1 : offsets[r + 1] - offsets[r];
    days.insert(days.end(), static_cast<size_t>(rows), static_cast<size_t>(batch.day[r]));
  }
  return days;
}

class Profiler {
 public:
  Profiler(const Dataset& dataset, const std::vector<std::string>& days) : days_(days), users_(days.size()) {
    options_.days = days;
    options_.spec = all_features(dataset, days);
    options_.virtual_shards = 1;
    options_.requests = 1024;
    options_.max_history = profiled_events;
    options_.shuffle = false;
    const ResolvedSpec spec = resolve_features(dataset.schema(), options_.spec);
    for (const FeatureSide side : feature_sides)
      for (const auto& feature : features_of(spec, side))
        counts_[static_cast<size_t>(side)].emplace_back(side, feature, days.size());
    alone_.emplace(spec, options_.spec.tasks);
  }

  DatasetProfile run(const Dataset& dataset, const std::function<void(int64_t, int64_t)>& progress) {
    BatchReader reader(dataset, options_);
    const int64_t total = reader.requests_in_epoch();
    DatasetProfile found;
    found.days = days_;
    for (Batch batch = reader.next(); !batch.ended(); batch = reader.next()) {
      for (const MicroBatch& micro : batch.micro) {
        add(micro.history, days_of_rows(micro, FeatureSide::history), FeatureSide::history);
        add(micro.candidate, days_of_rows(micro, FeatureSide::candidate), FeatureSide::candidate);
        add(micro.user, days_of_rows(micro, FeatureSide::user), FeatureSide::user);
        for (size_t r = 0; r < micro.user_id.size(); ++r)
          users_[static_cast<size_t>(micro.day[r])].add(micro.user_id[r]);
        alone_->add(micro);
        found.requests += micro.requests();
        found.candidates += micro.candidate_offsets.back();
        found.events += micro.history_offsets.back();
      }
      if (progress) progress(found.requests, total);
    }
    std::vector<int64_t> users;
    for (const auto& day : users_) users.push_back(day.count());
    found.compared = std::count_if(users.begin(), users.end(), [](int64_t n) { return n >= users_of_a_day; });
    found.labels = alone_->labels();
    for (const FeatureSide side : feature_sides)
      for (size_t f = 0; f < counts_[static_cast<size_t>(side)].size(); ++f) {
        const FeatureCounts& feature = counts_[static_cast<size_t>(side)][f];
        found.features.push_back(feature.profile());
        found.features.back().auc = alone_->auc(side, f);
        feature.add_unlike_days(days_, users, found.unlike);
        add_giveaways(side, feature.name(), found.labels, found.features.back().auc, found.giveaways);
      }
    std::stable_sort(found.unlike.begin(), found.unlike.end(),
                     [](const UnlikeDay& a, const UnlikeDay& b) { return a.distance > b.distance; });
    return found;
  }

 private:
  void add(const FeatureColumns& columns, const std::vector<size_t>& days, FeatureSide side) {
    auto& features = counts_[static_cast<size_t>(side)];
    for (size_t f = 0; f < features.size(); ++f) {
      const IdColumn& column = columns.id_columns[f];  // numbers are ids, too
      const std::span<const int64_t> ids(column.ids);
      for (size_t row = 0; row < days.size(); ++row) {
        const auto begin = column.offsets.empty() ? row : static_cast<size_t>(column.offsets[row]);
        const auto end = column.offsets.empty() ? row + 1 : static_cast<size_t>(column.offsets[row + 1]);
        features[f].add_row(days[row], ids.subspan(begin, end - begin));
      }
    }
  }

  const std::vector<std::string> days_;
  std::vector<DistinctCounter> users_;  // of each day
  ReaderOptions options_;
  std::array<std::vector<FeatureCounts>, 3> counts_;  // by side
  std::optional<FeaturesAlone> alone_;
};

}  // namespace

DatasetProfile profile_features(const Dataset& dataset, const std::vector<std::string>& days,
                                const std::function<void(int64_t, int64_t)>& progress) {
  return Profiler(dataset, days).run(dataset, progress);
}

}  // namespace lime
