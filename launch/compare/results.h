// What a comparison found: the numbers that its reports show.
#pragma once

#include <array>
#include <functional>
#include <string>
#include <vector>

#include "launch/compare/bootstrap.h"
#include "launch/compare/plan.h"
#include "launch/compare/runner.h"

namespace lime {

struct MetricResult {
  Estimate value;               // mean over seeds, interval over users
  std::vector<double> by_seed;  // in the order of the seeds
  // To the baseline's, over the same users and seeds; undefined (and empty) for the baseline itself.
  Estimate difference;
  std::vector<double> difference_by_seed;
};

struct ReliabilityBin {
  double prediction, label;  // means over the bin's rows
  int64_t rows;
};

// One model on one task with one kind of history.
struct ModelResult {
  std::array<MetricResult, metric_names.size()> metrics;
  double calibration = 0;                   // mean prediction / mean label, all seeds together
  std::vector<Estimate> auc_by_day;         // in the order of the held-out days
  std::vector<ReliabilityBin> reliability;  // by tenths of the rows, ascending, all seeds together
  const MetricResult& metric(MetricKind kind) const { return metrics[static_cast<size_t>(kind)]; }
};

struct TaskResult {
  std::string history, task;
  int64_t rows = 0, positives = 0, users = 0;
  std::vector<ModelResult> models;  // as ComparisonResults::models
};

// Over training steps: mean over seeds, and the least and greatest of them.
struct TrainingCurve {
  std::vector<double> step, mean, low, high;
};

// Median and 99th percentile of scoring one request.
struct LatencyPoint {
  int64_t candidates = 0, history = 0;
  double median_ms = 0, p99_ms = 0;
};

struct ComparedModel {
  std::string name, model;
  std::string variant;  // what makes it another than its name says: "lime_xor, data.max_history=0"; or ""
  int slot = 0;         // colour: its place in the list that was asked for
  int64_t parameters = 0, table_rows = 0;  // dense parameters; rows of all tables (of the first seed)
  double requests_per_s = 0;               // in training, evaluation left out: mean over seeds
  TrainingCurve loss, ne;
  std::vector<LatencyPoint> latency;  // empty: not measured
};

struct ComparisonResults {
  std::string config, data, train_days;
  std::vector<std::string> settings;  // --set, of all models: "train.epochs=2"
  std::vector<std::string> held_out_days;
  std::vector<uint64_t> seeds;
  std::string baseline;  // name; "" where its runs failed: no differences
  int64_t resamples = 0;
  int64_t jobs = 1;                   // runs at a time: speeds of more than one are those of a shared machine
  std::vector<ComparedModel> models;  // entries of which every run is whole
  std::vector<TaskResult> tasks;      // by task, then history
  std::vector<RunFailure> failures;   // of the others

  // The result to quote a metric from: with frozen histories for GAUC where there are such (docs/metrics.md),
  // else the first history.
  const TaskResult& quoted(const std::string& task, MetricKind) const;
  std::vector<std::string> task_names() const;
};

// Latency of a trained run at the sizes that a report should show.
using LatencyProbe = std::function<std::vector<LatencyPoint>(const ComparisonRun&)>;

struct ResultOptions {
  int64_t resamples = 1000;
  uint64_t seed = 1;  // of the bootstrap
  int threads = 1;
  LatencyProbe latency;                                      // may be empty
  std::function<void(const std::string&, double)> progress;  // what, fraction
};

// Reads the runs. Throws UserError where no entry is whole, or where runs were evaluated on different rows.
ComparisonResults collect_results(const ComparisonPlan&, const std::vector<RunFailure>&,
                                  const ResultOptions&);

// Parts of it, for themselves.
std::vector<ReliabilityBin> reliability(std::vector<ScoredRow> rows, int bins);
struct TrainingLog {  // of one run, by line of its metrics.jsonl
  std::vector<double> step, loss, ne, requests, seconds;
};
TrainingLog read_training_log(const std::string& metrics_path);
// `values` of several runs in at most `bins` stretches of steps, the mean (or, for what runs over all steps
// so far, the last value) of each.
TrainingCurve training_curve(const std::vector<TrainingLog>&, std::vector<double> TrainingLog::*values,
                             bool last, int bins);

}  // namespace lime
