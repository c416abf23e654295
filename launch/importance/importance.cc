#include "launch/importance/importance.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "launch/evaluator.h"
#include "runtime/error.h"
#include "runtime/text.h"

namespace lime {
namespace {

// "user.tab" or "user": the side, and the feature or "".
std::pair<FeatureSide, std::string> side_and_feature(const std::string& word) {
  const size_t dot = word.find('.');
  for (const FeatureSide side : feature_sides)
    if (word.substr(0, dot) == to_string(side))
      return {side, dot == std::string::npos ? "" : word.substr(dot + 1)};
  throw UserError(str("--features: found '", word,
                      "', expected history, candidate or user, or one of their features such as user.user"));
}

ShuffledSet set_of(const ResolvedSpec& spec, const std::string& name, uint64_t seed) {
  ShuffledSet set{name, false, {}};
  std::map<FeatureSide, std::vector<std::string>> chosen;
  for (const auto& word : split(name, '+')) {
    const auto [side, feature] = side_and_feature(word);
    if (features_of(spec, side).empty())
      throw UserError(str("--features: features.", to_string(side), " is empty"));
    auto& features = chosen[side];
    if (!feature.empty())
      features.push_back(feature);
    else
      for (const auto& each : features_of(spec, side)) features.push_back(each.name);
    set.whole_side = feature.empty() && word == name;
  }
  for (const auto& [side, features] : chosen) set.shuffles.emplace_back(spec, side, features, seed);
  return set;
}

// The metrics of each pass, and of their resamples, as evaluate() hands the rows over.
class Measurement {
 public:
  Measurement(const Scoring& scoring, const ImportanceOptions& options)
      : options_(options), with_watch_time_(!scoring.config.eval.watch_time.empty()) {}

  RowSink sink() {
    return [this](const std::string& task, const std::vector<ScoredRow>& rows) {
      if (std::any_of(rows.begin(), rows.end(), [](const ScoredRow& row) { return std::isnan(row.logit); }))
        throw UserError(str(task, ": found scores that are not numbers, expected a model that learned"));
      auto& users = users_[task];
      if (users.empty()) users = distinct_users(rows);
      if (options_.resamples == 0) return;
      std::vector<ResampledRows> sets;
      sets.emplace_back(rows, users, with_watch_time_);
      resampled_[task].push_back(resample(sets, static_cast<int64_t>(users.size()), options_.resamples,
                                          options_.seed, options_.threads)
                                     .front());
    };
  }

  // Of pass `number`, whose metrics are `shuffled`.
  FeatureWorth worth(const ShuffledSet& set, size_t number, const std::string& task, const Metrics& whole,
                     const Metrics& shuffled) const {
    FeatureWorth worth{set.name, set.whole_side, {}};
    for (const MetricKind kind : metric_kinds) {
      const auto k = static_cast<size_t>(kind);
      const double sign = kind == MetricKind::ne ? -1 : 1;
      std::vector<double> losses;
      if (const auto values = resampled_.find(task); values != resampled_.end())
        for (size_t b = 0; b < values->second[number].size(); ++b)
          losses.push_back(sign * (values->second[0][b][k] - values->second[number][b][k]));
      worth.loss[k] = estimate(sign * (value_of(whole, kind) - value_of(shuffled, kind)), std::move(losses));
    }
    return worth;
  }

  int64_t users(const std::string& task) const { return static_cast<int64_t>(users_.at(task).size()); }

 private:
  const ImportanceOptions& options_;
  const bool with_watch_time_;
  std::map<std::string, std::vector<int64_t>> users_;                        // by task
  std::map<std::string, std::vector<std::vector<MetricValues>>> resampled_;  // by task, by pass
};

}  // namespace

std::vector<ShuffledSet> shuffled_sets(const Config& config, const DatasetSchema& schema,
                                       const std::vector<std::string>& names, uint64_t seed) {
  const ResolvedSpec spec = resolve_features(schema, config.features);
  std::vector<ShuffledSet> sets;
  for (const auto& name : names) sets.push_back(set_of(spec, name, seed));
  if (!names.empty()) return sets;
  const auto read = [&](FeatureSide side) {
    return !features_of(spec, side).empty() && (side != FeatureSide::history || config.data.max_history > 0);
  };
  for (const FeatureSide side : feature_sides)
    if (read(side)) sets.push_back(set_of(spec, to_string(side), seed));
  for (const FeatureSide side : feature_sides)
    if (read(side) && features_of(spec, side).size() > 1)
      for (const auto& feature : features_of(spec, side))
        sets.push_back(set_of(spec, str(to_string(side), ".", feature.name), seed));
  return sets;
}

ImportanceResult measure_importance(const Scoring& scoring, const std::vector<std::string>& days,
                                    HistoryMode mode, const std::vector<ShuffledSet>& sets,
                                    const ImportanceOptions& options) {
  Measurement measurement(scoring, options);
  const bool reports = scoring.comm.rank() == 0;
  ImportanceResult result;
  const auto pass = [&](const ShuffledSet& set, size_t number) {
    Scoring shuffled = scoring;
    shuffled.shuffles = &set.shuffles;
    const auto progress =
        options.begin ? options.begin(set.name, number, sets.size() + 1) : ScoringProgress();
    EvalResult found = evaluate(shuffled, days, mode, progress, measurement.sink());
    if (!reports) return;
    for (size_t t = 0; t < found.tasks.size(); ++t) {
      const auto& [task, by_day, all] = found.tasks[t];
      if (number == 0)
        result.tasks.push_back({task, all, measurement.users(task), {}});
      else
        result.tasks[t].sets.push_back(measurement.worth(set, number, task, result.tasks[t].whole, all));
    }
    const auto& first = result.tasks.front();
    if (options.end)
      options.end(set.name, number, sets.size() + 1, found.tasks.front().all.auc,
                  number == 0 ? std::nan("") : first.sets.back().of(MetricKind::auc).value);
  };
  pass({"as they are", false, {}}, 0);
  for (size_t s = 0; s < sets.size(); ++s) pass(sets[s], s + 1);
  if (!reports) return {};
  for (auto& task : result.tasks)
    std::stable_sort(task.sets.begin(), task.sets.end(), [](const FeatureWorth& a, const FeatureWorth& b) {
      if (a.whole_side != b.whole_side) return a.whole_side;
      const double x = a.of(MetricKind::auc).value, y = b.of(MetricKind::auc).value;
      return std::isnan(y) ? !std::isnan(x) : x > y;
    });
  result.history = to_string(mode);
  result.days = days;
  result.resamples = options.resamples;
  result.seed = options.seed;
  result.with_watch_time = !scoring.config.eval.watch_time.empty();
  return result;
}

}  // namespace lime
