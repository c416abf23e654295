// The report for programs.
#include <cmath>
#include <nlohmann/json.hpp>

#include "launch/compare/bootstrap_json.h"
#include "launch/compare/report.h"

namespace lime {
namespace {

using Json = nlohmann::ordered_json;

Json numbers(const std::vector<double>& values) {
  Json list = Json::array();
  for (const double value : values) list.push_back(json_number(value));
  return list;
}

Json to_object(const TrainingCurve& curve) {
  return {{"step", numbers(curve.step)},
          {"mean", numbers(curve.mean)},
          {"low", numbers(curve.low)},
          {"high", numbers(curve.high)}};
}

Json to_object(const ComparedModel& model) {
  Json object = {{"name", model.name},
                 {"model", model.model},
                 {"variant", model.variant},
                 {"parameters", model.parameters},
                 {"table_rows", model.table_rows},
                 {"requests_per_s", json_number(model.requests_per_s)},
                 {"loss", to_object(model.loss)},
                 {"ne", to_object(model.ne)}};
  for (const auto& point : model.latency)
    object["latency"].push_back({{"candidates", point.candidates},
                                 {"history", point.history},
                                 {"median_ms", json_number(point.median_ms)},
                                 {"p99_ms", json_number(point.p99_ms)}});
  return object;
}

Json to_object(const ModelResult& result, const std::string& name) {
  Json object = {{"name", name}};
  for (const MetricKind kind : metric_kinds) {
    const MetricResult& metric = result.metric(kind);
    Json entry = to_json(metric.value);
    entry["by_seed"] = numbers(metric.by_seed);
    if (std::isfinite(metric.difference.value)) {
      entry["difference"] = to_json(metric.difference);
      entry["difference"]["by_seed"] = numbers(metric.difference_by_seed);
    }
    object[json_key(kind)] = entry;
  }
  object["calibration"] = json_number(result.calibration);
  object["auc_by_day"] = Json::array();
  for (const auto& day : result.auc_by_day) object["auc_by_day"].push_back(to_json(day));
  object["reliability"] = Json::array();
  for (const auto& bin : result.reliability)
    object["reliability"].push_back(
        {{"prediction", bin.prediction}, {"label", bin.label}, {"rows", bin.rows}});
  return object;
}

}  // namespace

std::string to_json(const ComparisonResults& results) {
  Json report = {{"config", results.config},
                 {"data", results.data},
                 {"settings", results.settings},
                 {"train_days", results.train_days},
                 {"held_out_days", results.held_out_days},
                 {"seeds", results.seeds},
                 {"baseline", results.baseline.empty() ? Json(nullptr) : Json(results.baseline)},
                 {"resamples", results.resamples},
                 {"level", 0.95},
                 {"jobs", results.jobs}};
  report["models"] = Json::array();
  for (const auto& model : results.models) report["models"].push_back(to_object(model));
  report["tasks"] = Json::array();
  for (const auto& task : results.tasks) {
    Json models = Json::array();
    for (size_t m = 0; m < task.models.size(); ++m)
      models.push_back(to_object(task.models[m], results.models[m].name));
    report["tasks"].push_back({{"task", task.task},
                               {"history", task.history},
                               {"rows", task.rows},
                               {"positives", task.positives},
                               {"users", task.users},
                               {"models", models}});
  }
  report["failures"] = Json::array();
  for (const auto& failure : results.failures)
    report["failures"].push_back({{"run", failure.run}, {"reason", failure.reason}, {"log", failure.log}});
  return report.dump(2) + "\n";
}

}  // namespace lime
