#include "launch/compare/results.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "launch/scored_rows.h"
#include "launch/scoring.h"
#include "model/best_record.h"
#include "model/checkpoint.h"
#include "runtime/error.h"

namespace lime {
namespace {

constexpr double undefined = std::numeric_limits<double>::quiet_NaN();
constexpr int curve_points = 60, reliability_bins = 10;

double mean(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

// Rows of all models and seeds for one task and history, and what they say.
class Measurement {
 public:
  Measurement(const ComparisonPlan& plan, const std::vector<size_t>& entries,
              const std::vector<std::string>& days, const ResultOptions& options)
      : plan_(plan),
        entries_(entries),
        days_(days),
        options_(options),
        with_watch_time_(!plan.common().eval.watch_time.empty()) {}

  TaskResult measure(const std::string& history, const std::string& task) {
    result_ = {history, task, 0, 0, 0, {}};
    result_.models.resize(entries_.size());
    for (size_t m = 0; m < entries_.size(); ++m) read(m);
    result_.users = static_cast<int64_t>(users_.size());
    const auto values = resample(
        sets_, result_.users, options_.resamples, options_.seed, options_.threads, [&](int64_t done) {
          if (options_.progress)
            options_.progress(str("resampling users: ", task, ", ", history),
                              static_cast<double>(done) / static_cast<double>(options_.resamples));
        });
    for (size_t m = 0; m < entries_.size(); ++m) estimate_all(m, values);
    return std::move(result_);
  }

 private:
  size_t seeds() const { return plan_.seeds.size(); }
  size_t day_parts() const { return days_.size() > 1 ? days_.size() : 0; }  // one day alone is all rows
  // Sets of a model: for each seed all rows, then those of each day.
  size_t set_of(size_t model, size_t seed, size_t part) const {
    return (model * seeds() + seed) * (1 + day_parts()) + part;
  }

  void read(size_t m) {
    ModelResult& model = result_.models[m];
    std::vector<ScoredRow> together;
    for (size_t s = 0; s < seeds(); ++s) {
      const ComparisonRun& run = plan_.run(entries_[m], s);
      auto rows = ScoredRowsFile(rows_path(run)).read(result_.history, result_.task);
      check_same_rows(run, rows);
      const Metrics metrics = compute_metrics(rows, with_watch_time_);
      for (const MetricKind kind : metric_kinds)
        model.metrics[static_cast<size_t>(kind)].by_seed.push_back(value_of(metrics, kind));
      by_day_.clear();
      by_day_.resize(days_.size());
      for (const auto& row : rows) by_day_.at(static_cast<size_t>(row.day)).push_back(row);
      std::vector<double> day_aucs;
      for (const auto& day : by_day_) day_aucs.push_back(compute_metrics(day, false).auc);
      day_auc_by_seed_.push_back(day_aucs);
      together.insert(together.end(), rows.begin(), rows.end());
      sets_.emplace_back(std::move(rows), users_, with_watch_time_);
      if (day_parts() > 0)
        for (auto& day : by_day_) sets_.emplace_back(std::move(day), users_, false);
    }
    model.calibration = compute_metrics(together, false).calibration;
    model.reliability = reliability(std::move(together), reliability_bins);
  }

  void check_same_rows(const ComparisonRun& run, const std::vector<ScoredRow>& rows) {
    const auto users = distinct_users(rows);
    const auto positives =
        std::count_if(rows.begin(), rows.end(), [](const ScoredRow& row) { return is_positive(row.label); });
    if (std::any_of(rows.begin(), rows.end(), [](const ScoredRow& row) { return std::isnan(row.logit); }))
      throw UserError(
          str(rows_path(run), ": found scores that are not numbers, expected a run that learned; remove it"));
    if (result_.rows == 0) {
      users_ = users;
      result_.rows = static_cast<int64_t>(rows.size());
      result_.positives = positives;
    }
    if (users != users_ || static_cast<int64_t>(rows.size()) != result_.rows ||
        positives != result_.positives)
      throw UserError(str(run.directory, " was evaluated on ", rows.size(), " rows of ", users.size(),
                          " users, ", positives, " of them positive; expected ", result_.rows, ", ",
                          users_.size(), ", ", result_.positives,
                          " as the runs before it: remove those that saw other data"));
  }

  // The resampled mean over seeds of one part (0: all rows; 1 + d: day d).
  std::vector<double> resampled(const std::vector<std::vector<MetricValues>>& values, size_t m, size_t part,
                                MetricKind kind) const {
    std::vector<double> means(static_cast<size_t>(options_.resamples), 0.0);
    for (size_t s = 0; s < seeds(); ++s) {
      const auto& set = values[set_of(m, s, part)];
      for (size_t b = 0; b < means.size(); ++b)
        means[b] += set[b][static_cast<size_t>(kind)] / static_cast<double>(seeds());
    }
    return means;
  }

  void estimate_all(size_t m, const std::vector<std::vector<MetricValues>>& values) {
    const auto baseline = std::find(entries_.begin(), entries_.end(), plan_.baseline);
    for (const MetricKind kind : metric_kinds) {
      MetricResult& metric = result_.models[m].metrics[static_cast<size_t>(kind)];
      auto means = resampled(values, m, 0, kind);
      metric.value = estimate(mean(metric.by_seed), means);
      metric.difference = {undefined, undefined, undefined};
      if (baseline == entries_.end() || entries_[m] == plan_.baseline) continue;
      const auto b = static_cast<size_t>(baseline - entries_.begin());
      const MetricResult& base = result_.models[b].metric(kind);
      const auto theirs = resampled(values, b, 0, kind);
      for (size_t i = 0; i < means.size(); ++i) means[i] -= theirs[i];
      metric.difference = estimate(metric.value.value - mean(base.by_seed), std::move(means));
      for (size_t i = 0; i < seeds(); ++i)
        metric.difference_by_seed.push_back(metric.by_seed[i] - base.by_seed[i]);
    }
    for (size_t d = 0; d < days_.size(); ++d) {
      double value = 0;
      for (size_t s = 0; s < seeds(); ++s)
        value += day_auc_by_seed_[m * seeds() + s][d] / static_cast<double>(seeds());
      result_.models[m].auc_by_day.push_back(
          estimate(value, resampled(values, m, day_parts() > 0 ? 1 + d : 0, MetricKind::auc)));
    }
  }

  const ComparisonPlan& plan_;
  const std::vector<size_t>& entries_;
  const std::vector<std::string>& days_;
  const ResultOptions& options_;
  const bool with_watch_time_;
  TaskResult result_;
  std::vector<int64_t> users_;
  std::vector<ResampledRows> sets_;
  std::vector<std::vector<ScoredRow>> by_day_;
  std::vector<std::vector<double>> day_auc_by_seed_;
};

ComparedModel describe(const ComparisonPlan& plan, size_t entry, const ResultOptions& options) {
  ComparedModel model;
  model.name = plan.entries[entry].name;
  model.model = plan.entries[entry].model;
  model.slot = static_cast<int>(entry);
  if (model.name != model.model) model.variant = model.model;
  for (const auto& [key, value] : plan.entries[entry].settings)
    model.variant += str(model.variant.empty() ? "" : ", ", key, "=", value);
  std::vector<TrainingLog> logs;
  for (size_t s = 0; s < plan.seeds.size(); ++s) {
    const TrainingLog& log =
        logs.emplace_back(read_training_log(plan.run(entry, s).directory + "/metrics.jsonl"));
    const double seconds = std::accumulate(log.seconds.begin(), log.seconds.end(), 0.0);
    const double requests = std::accumulate(log.requests.begin(), log.requests.end(), 0.0);
    model.requests_per_s += requests / seconds / static_cast<double>(plan.seeds.size());
  }
  model.loss = training_curve(logs, &TrainingLog::loss, false, curve_points);
  model.ne = training_curve(logs, &TrainingLog::ne, true, curve_points);
  const std::string& directory = plan.run(entry, 0).directory;
  const auto checkpoints = list_checkpoints(directory);
  LIME_CHECK(!checkpoints.empty(), directory, " has no checkpoint");
  const auto best = read_best(directory);  // where there is one, that is what was evaluated
  const CheckpointShapes shapes =
      checkpoint_shapes(checkpoint_directory(directory, best ? best->checkpoint : checkpoints.front()));
  model.parameters = shapes.parameter_count();
  model.table_rows = shapes.table_rows();
  if (options.latency) model.latency = options.latency(plan.run(entry, 0));
  return model;
}

}  // namespace

const TaskResult& ComparisonResults::quoted(const std::string& task, MetricKind kind) const {
  const TaskResult* first = nullptr;
  for (const auto& result : tasks) {
    if (result.task != task) continue;
    if (kind == MetricKind::gauc && result.history == to_string(HistoryMode::frozen)) return result;
    if (!first) first = &result;
  }
  LIME_CHECK(first, "no task ", task);
  return *first;
}

std::vector<std::string> ComparisonResults::task_names() const {
  std::vector<std::string> names;
  for (const auto& result : tasks)
    if (std::find(names.begin(), names.end(), result.task) == names.end()) names.push_back(result.task);
  return names;
}

ComparisonResults collect_results(const ComparisonPlan& plan, const std::vector<RunFailure>& failures,
                                  const ResultOptions& options) {
  const Config& config = plan.common();
  ComparisonResults results;
  results.config = plan.config_path;
  results.data = config.data.path;
  results.train_days = config.data.train;
  results.seeds = plan.seeds;
  for (const auto& [key, value] : plan.settings) results.settings.push_back(str(key, "=", value));
  results.resamples = options.resamples;
  results.failures = failures;
  std::vector<size_t> whole;
  for (size_t e = 0; e < plan.entries.size(); ++e) {
    bool complete = true;
    for (size_t s = 0; s < plan.seeds.size(); ++s) complete = complete && is_complete(plan.run(e, s));
    if (complete) whole.push_back(e);
  }
  if (whole.empty())
    throw UserError(failures.empty()
                        ? "no run is complete yet"
                        : str("no model has all of its runs; the first that failed: ", failures.front().run,
                              ": ", failures.front().reason));
  if (std::find(whole.begin(), whole.end(), plan.baseline) != whole.end())
    results.baseline = plan.entries[plan.baseline].name;
  for (const size_t entry : whole) results.models.push_back(describe(plan, entry, options));
  results.held_out_days = ScoredRowsFile(rows_path(plan.run(whole.front(), 0))).days();
  for (const auto& task : config.tasks)
    for (const HistoryMode mode : history_modes(config.eval.history))
      results.tasks.push_back(
          Measurement(plan, whole, results.held_out_days, options).measure(to_string(mode), task.label));
  return results;
}

std::vector<ReliabilityBin> reliability(std::vector<ScoredRow> rows, int bins) {
  std::sort(rows.begin(), rows.end(), [](const ScoredRow& a, const ScoredRow& b) {
    return a.logit != b.logit ? a.logit < b.logit : a.label < b.label;
  });
  std::vector<ReliabilityBin> result;
  for (int b = 0; b < bins; ++b) {
    const auto share = [&](int i) {
      return rows.size() * static_cast<size_t>(i) / static_cast<size_t>(bins);
    };
    ReliabilityBin bin{0, 0, static_cast<int64_t>(share(b + 1) - share(b))};
    for (size_t i = share(b); i < share(b + 1); ++i) {
      bin.prediction += probability(rows[i].logit) / static_cast<double>(bin.rows);
      bin.label += static_cast<double>(rows[i].label) / static_cast<double>(bin.rows);
    }
    if (bin.rows > 0) result.push_back(bin);
  }
  return result;
}

}  // namespace lime
