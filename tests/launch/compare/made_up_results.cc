#include "tests/launch/compare/made_up_results.h"

#include <cmath>
#include <limits>

namespace lime {
namespace {

constexpr double undefined = std::numeric_limits<double>::quiet_NaN();

MetricResult metric(double value, double baseline, bool is_baseline) {
  MetricResult result;
  result.value = {value, value - 0.004, value + 0.005};
  result.by_seed = {value - 0.001, value, value + 0.001};
  result.difference = {undefined, undefined, undefined};
  if (is_baseline) return result;
  const double d = value - baseline;
  result.difference = {d, d - 0.001, d + 0.001};
  result.difference_by_seed = {d - 0.0005, d, d + 0.0005};
  return result;
}

ModelResult model_result(int m) {
  ModelResult result;
  const double auc = 0.7434 + 0.0007 * (m - 3), ne = 0.86 - 0.0008 * (m - 3);
  for (auto& not_measured : result.metrics) {
    not_measured.value = not_measured.difference = {undefined, undefined, undefined};
    not_measured.by_seed = {undefined, undefined, undefined};
  }
  result.metrics[static_cast<size_t>(MetricKind::auc)] = metric(auc, 0.7434, m == 3);
  result.metrics[static_cast<size_t>(MetricKind::gauc)] = metric(auc - 0.1, 0.6434, m == 3);
  result.metrics[static_cast<size_t>(MetricKind::ne)] = metric(ne, 0.86, m == 3);
  result.calibration = 1.01;
  for (int day = 0; day < 4; ++day)
    result.auc_by_day.push_back({auc - 0.002 * day, auc - 0.002 * day - 0.006, auc - 0.002 * day + 0.006});
  for (int bin = 0; bin < 10; ++bin)
    result.reliability.push_back({0.05 + 0.08 * bin, 0.05 + 0.079 * bin + 0.001 * m, 1000});
  return result;
}

TrainingCurve curve(double end, int m) {
  TrainingCurve curve;
  for (int step = 20; step <= 900; step += 20) {
    const double value = end + 0.1 * std::exp(-step / 100.0) - 0.0004 * m;
    curve.step.push_back(step);
    curve.mean.push_back(value);
    curve.low.push_back(value - 0.002);
    curve.high.push_back(value + 0.002);
  }
  return curve;
}

}  // namespace

ComparisonResults made_up_results(bool with_latency) {
  ComparisonResults results;
  results.config = "configs/kuairand.yaml";
  results.data = "data/made-up & <more>";
  results.settings = {"train.epochs=2", "data.threads=2"};
  results.train_days = "2022-04-25..2022-05-04";
  results.held_out_days = {"2022-05-05", "2022-05-06", "2022-05-07", "2022-05-08"};
  results.seeds = {1, 2, 3};
  results.baseline = "hstu";
  results.resamples = 1000;
  const std::vector<std::string> names{"two_tower",        "din", "mha", "hstu", "lime_mha", "lime_xor",
                                       "lime_xor-64-links"};
  for (size_t m = 0; m < names.size(); ++m) {
    const auto slot = static_cast<int>(m);
    ComparedModel model;
    model.name = names[m];
    model.model = m == 6 ? "lime_xor" : names[m];
    if (m == 6) model.variant = "lime_xor, model.links=64";
    model.slot = slot;
    model.parameters = 100000 + 20000 * slot;
    model.table_rows = 1234567;
    model.requests_per_s = 9000 - 1000 * slot;
    model.loss = curve(0.59, slot);
    model.ne = curve(0.87, slot);
    for (int e = 6; with_latency && e <= 15; ++e) {
      const double n = std::pow(2.0, e);
      const double ms = m == 2 || m == 3 ? 0.01 * n : 0.5 + 0.02 * slot + 1e-4 * n;
      model.latency.push_back({static_cast<int64_t>(n), 4096, ms, 1.3 * ms});
    }
    results.models.push_back(model);
  }
  for (const char* task : {"is_click", "long_view"})
    for (const char* history : {"running", "frozen"}) {
      TaskResult result{history, task, 56658, 24801, 17396, {}};
      for (int m = 0; m < 7; ++m) result.models.push_back(model_result(m));
      results.tasks.push_back(result);
    }
  return results;
}

}  // namespace lime
