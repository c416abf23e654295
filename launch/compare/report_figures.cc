// The charts of a comparison.
#include <algorithm>
#include <set>

#include "launch/chart.h"
#include "launch/compare/report.h"
#include "runtime/error.h"
#include "runtime/text.h"

namespace lime {
namespace {

ReportFigure differences(const ComparisonResults& results, const std::string& task, MetricKind kind) {
  const TaskResult& measured = results.quoted(task, kind);
  IntervalChart chart;
  chart.title = str(to_string(kind), " less that of ", results.baseline);
  chart.x.label = "difference";
  const bool more_is_better = kind != MetricKind::ne;
  chart.left = more_is_better ? "worse" : "better";
  chart.right = more_is_better ? "better" : "worse";
  for (size_t m = 0; m < results.models.size(); ++m) {
    if (results.models[m].name == results.baseline) continue;
    const Estimate& e = measured.models[m].metric(kind).difference;
    chart.rows.push_back({results.models[m].name, e.value, e.low, e.high,
                          measured.models[m].metric(kind).difference_by_seed, results.models[m].slot});
  }
  return {to_svg(chart, SvgUse::inside),
          "With 95 % intervals over users; the ticks are single seeds, each less the baseline's of the same "
          "seed."};
}

ReportFigure auc_by_day(const ComparisonResults& results, const std::string& task) {
  const TaskResult& measured = results.quoted(task, MetricKind::auc);
  // More intervals than these hide each other and the lines.
  constexpr size_t most_intervals = 40;
  const bool intervals = results.models.size() * results.held_out_days.size() <= most_intervals;
  Chart chart;
  chart.title = "AUC by held-out day";
  chart.x = {"day", Scale::linear, results.held_out_days};
  chart.y = {"AUC", Scale::linear, {}};
  if (intervals) chart.uncertainty = Uncertainty::bars;
  for (size_t m = 0; m < results.models.size(); ++m) {
    ChartSeries series;
    series.name = results.models[m].name;
    series.slot = results.models[m].slot;
    const auto& days = measured.models[m].auc_by_day;
    for (size_t d = 0; d < days.size(); ++d) {
      series.x.push_back(static_cast<double>(d));
      series.y.push_back(days[d].value);
      if (!intervals) continue;
      series.low.push_back(days[d].low);
      series.high.push_back(days[d].high);
    }
    chart.series.push_back(series);
  }
  return {to_svg(chart, SvgUse::inside), intervals ? "Means over seeds with 95 % intervals over users."
                                                   : "Means over seeds; report.json has the intervals."};
}

ReportFigure calibration(const ComparisonResults& results, const std::string& task) {
  const TaskResult& measured = results.quoted(task, MetricKind::auc);
  Chart chart;
  chart.title = "Calibration";
  chart.x = {"mean prediction", Scale::linear, {}};
  chart.y = {str("share of ", task), Scale::linear, {}};
  double low = 1, high = 0;
  for (size_t m = 0; m < results.models.size(); ++m) {
    ChartSeries series;
    series.name = results.models[m].name;
    series.slot = results.models[m].slot;
    for (const auto& bin : measured.models[m].reliability) {
      series.x.push_back(bin.prediction);
      series.y.push_back(bin.label);
      low = std::min({low, bin.prediction, bin.label});
      high = std::max({high, bin.prediction, bin.label});
    }
    chart.series.push_back(series);
  }
  chart.series.insert(chart.series.begin(),
                      {"ideal", {low, high}, {low, high}, {}, {}, ChartSeries::reference});
  return {to_svg(chart, SvgUse::inside),
          "Rows in ten groups of equal size by prediction. Above the dashed line predictions are too low."};
}

ReportFigure training(const ComparisonResults& results, const char* title, const char* unit,
                      TrainingCurve ComparedModel::*member, const std::string& caption) {
  Chart chart;
  chart.title = title;
  chart.x = {"step", Scale::linear, {}};
  chart.y = {unit, Scale::linear, {}};
  for (const auto& model : results.models) {
    const TrainingCurve& curve = model.*member;
    ChartSeries series{model.name, curve.step, curve.mean, {}, {}, model.slot};
    if (results.seeds.size() > 1) {
      series.low = curve.low;
      series.high = curve.high;
    }
    chart.series.push_back(series);
  }
  const char* band = results.seeds.size() > 1
                         ? " Lines are means over seeds, bands reach from the least to the greatest."
                         : "";
  return {to_svg(chart, SvgUse::inside), caption + band};
}

// Over candidates at the longest history that was measured, or over histories where candidates do not vary.
ReportFigure latency(const ComparisonResults& results) {
  std::set<int64_t> candidates, histories;
  for (const auto& model : results.models)
    for (const auto& point : model.latency) {
      candidates.insert(point.candidates);
      histories.insert(point.history);
    }
  const bool over_candidates = candidates.size() > 1;
  const int64_t fixed = over_candidates ? *histories.rbegin() : *candidates.rbegin();
  Chart chart;
  chart.title = "Scoring latency";
  chart.x = {over_candidates ? "candidates a request" : "events of history", Scale::log2, {}};
  chart.y = {"median, up to the 99th percentile (ms)", Scale::log10, {}};
  for (const auto& model : results.models) {
    ChartSeries series;
    series.name = model.name;
    series.slot = model.slot;
    auto points = model.latency;
    std::sort(points.begin(), points.end(), [](const LatencyPoint& a, const LatencyPoint& b) {
      return std::pair(a.candidates, a.history) < std::pair(b.candidates, b.history);
    });
    for (const auto& point : points) {
      if ((over_candidates ? point.history : point.candidates) != fixed) continue;
      series.x.push_back(static_cast<double>(over_candidates ? point.candidates : point.history));
      series.y.push_back(point.median_ms);
      series.low.push_back(point.median_ms);
      series.high.push_back(point.p99_ms);
    }
    chart.series.push_back(series);
  }
  return {to_svg(chart, SvgUse::inside),
          str("One request with ", grouped(fixed), over_candidates ? " events of history." : " candidates.")};
}

}  // namespace

std::vector<ReportFigure> task_figures(const ComparisonResults& results, const std::string& task) {
  std::vector<ReportFigure> figures;
  if (!results.baseline.empty() && results.models.size() > 1)
    for (const MetricKind kind : {MetricKind::auc, MetricKind::ne})
      figures.push_back(differences(results, task, kind));
  if (results.held_out_days.size() > 1) figures.push_back(auc_by_day(results, task));
  figures.push_back(calibration(results, task));
  return figures;
}

std::vector<ReportFigure> run_figures(const ComparisonResults& results) {
  std::vector<ReportFigure> figures;
  figures.push_back(training(results, "Training loss", "loss", &ComparedModel::loss,
                             "Of each stretch of steps, before their updates."));
  figures.push_back(training(results, "Normalised entropy in training", "NE of all steps so far",
                             &ComparedModel::ne,
                             "1 is as good as always predicting the base rate; lower is better."));
  const bool measured = std::any_of(results.models.begin(), results.models.end(),
                                    [](const ComparedModel& model) { return !model.latency.empty(); });
  if (measured) figures.push_back(latency(results));
  return figures;
}

}  // namespace lime
