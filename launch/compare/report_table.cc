// The table that all reports show.
#include <algorithm>
#include <cmath>
#include <map>

#include "launch/compare/report.h"
#include "runtime/error.h"
#include "runtime/text.h"

namespace lime {
namespace {

constexpr int digits = 4;

std::string signed_number(double value) { return str(value >= 0 ? "+" : "", grouped(value, digits)); }

// Half of the interval; its ends are where they are not the same on either side.
std::string half_width(const Estimate& e) { return "\xC2\xB1" + grouped((e.high - e.low) / 2, digits); }

ReportCell metric_cell(const MetricResult& metric, MetricKind kind) {
  ReportCell cell;
  cell.value = grouped(metric.value.value, digits);
  if (std::isfinite(metric.value.low)) {
    cell.interval = str(grouped(metric.value.low, digits), " to ", grouped(metric.value.high, digits));
    cell.half_width = half_width(metric.value);
  }
  const Estimate& difference = metric.difference;
  if (std::isfinite(difference.value)) cell.difference = signed_number(difference.value);
  if (std::isfinite(difference.low)) {
    cell.difference_interval = str(signed_number(difference.low), " to ", signed_number(difference.high));
    cell.difference_half_width = half_width(difference);
    const bool higher = difference.value > 0;
    const auto& seeds = metric.difference_by_seed;
    const bool seeds_agree =
        std::all_of(seeds.begin(), seeds.end(), [&](double d) { return (d > 0) == higher; });
    if (difference.excludes(0) && seeds_agree) cell.verdict = higher == (kind != MetricKind::ne) ? 1 : -1;
  }
  return cell;
}

// Each of a few, the least and the greatest of many.
std::string seed_values(const std::vector<double>& values) {
  if (values.size() > 5) {
    const auto [low, high] = std::minmax_element(values.begin(), values.end());
    return str(grouped(*low, digits), " to ", grouped(*high, digits));
  }
  std::string text;
  for (const double value : values) text += str(text.empty() ? "" : " ", grouped(value, digits));
  return text;
}

bool is_measured(const TaskResult& result, MetricKind kind) {
  return std::any_of(result.models.begin(), result.models.end(),
                     [&](const ModelResult& model) { return !std::isnan(model.metric(kind).value.value); });
}

// Candidates of a request: at most four of the numbers measured, from the least to the greatest. The chart
// has the others.
std::vector<int64_t> latency_sizes(const ComparisonResults& results) {
  std::vector<int64_t> sizes;
  for (const auto& model : results.models)
    for (const auto& point : model.latency) sizes.push_back(point.candidates);
  std::sort(sizes.begin(), sizes.end());
  sizes.erase(std::unique(sizes.begin(), sizes.end()), sizes.end());
  constexpr size_t most = 4;
  if (sizes.size() <= most) return sizes;
  std::vector<int64_t> chosen;
  for (size_t i = 0; i < most; ++i) chosen.push_back(sizes[i * (sizes.size() - 1) / (most - 1)]);
  return chosen;
}

std::string latency_at(const ComparedModel& model, int64_t candidates) {
  for (const auto& point : model.latency)
    if (point.candidates == candidates)
      return grouped(point.median_ms, point.median_ms < 10 ? 2 : point.median_ms < 100 ? 1 : 0);
  return "-";
}

// "4,096 events", and what differs: "4,096 events (no_history: 0)".
std::string latency_events(const ComparisonResults& results) {
  std::map<int64_t, std::string> models;  // by events: their names
  std::map<int64_t, int64_t> number;
  for (const auto& model : results.models) {
    if (model.latency.empty()) continue;
    const int64_t events = model.latency.front().history;
    models[events] += str(models[events].empty() ? "" : ", ", model.name);
    ++number[events];
  }
  const int64_t most = std::max_element(number.begin(), number.end(), [](auto& a, auto& b) {
                         return a.second < b.second;
                       })->first;
  std::string others;
  for (const auto& [events, names] : models)
    if (events != most) others += str(others.empty() ? "" : "; ", names, ": ", grouped(events));
  return str(grouped(most), " events", others.empty() ? "" : str(" (", others, ")"));
}

}  // namespace

ReportTable report_table(const ComparisonResults& results, const std::string& task) {
  ReportTable table;
  table.models.resize(results.models.size());
  for (const MetricKind kind : metric_kinds) {
    const TaskResult& result = results.quoted(task, kind);
    if (!is_measured(result, kind)) continue;
    const bool other = &result != &results.quoted(task, MetricKind::auc);
    table.columns.push_back(other ? str(to_string(kind), " (", result.history, ")") : to_string(kind));
    for (size_t m = 0; m < results.models.size(); ++m)
      table.models[m].push_back(metric_cell(result.models[m].metric(kind), kind));
  }
  const auto add = [&](const std::string& column, auto text_of) {
    table.columns.push_back(column);
    for (size_t m = 0; m < results.models.size(); ++m)
      table.models[m].push_back({text_of(results.models[m]), "", "", "", "", "", 0});
  };
  const auto& by_seed = results.quoted(task, MetricKind::auc).models;
  if (results.seeds.size() > 1) {
    table.columns.push_back("AUC by seed");
    for (size_t m = 0; m < results.models.size(); ++m)
      table.models[m].push_back(
          {seed_values(by_seed[m].metric(MetricKind::auc).by_seed), "", "", "", "", "", 0});
  }
  add("requests/s", [](const ComparedModel& model) { return grouped(model.requests_per_s, 0); });
  add("parameters", [](const ComparedModel& model) { return grouped(model.parameters); });
  add("table rows", [](const ComparedModel& model) { return grouped(model.table_rows); });
  for (const int64_t candidates : latency_sizes(results))
    add(str("ms at ", grouped(candidates)),
        [&](const ComparedModel& model) { return latency_at(model, candidates); });
  return table;
}

std::string measured_on(const ComparisonResults& results, const std::string& task) {
  const TaskResult& result = results.quoted(task, MetricKind::auc);
  return str(grouped(result.rows), " rows of ", grouped(result.users), " users, ", grouped(result.positives),
             " positive; histories ", result.history);
}

std::string how_to_read(const ComparisonResults& results, const std::string& better,
                        const std::string& worse) {
  std::string text =
      str("Means over ", results.seeds.size(), results.seeds.size() == 1 ? " seed" : " seeds",
          " with 95 % bootstrap intervals over users (", grouped(results.resamples), " resamples). ");
  if (!results.baseline.empty() && results.models.size() > 1)
    text += str("Differences to ", results.baseline, " are over the same users and seeds: ", better, " or ",
                worse, " where the interval excludes 0 and every seed agrees. ");
  text +=
      "The intervals say how much depends on who the users were, not how much on the seed: compare single "
      "seeds for that.";
  if (!latency_sizes(results).empty())
    text += str(" ms at N: the median of scoring N candidates for a request with a history of ",
                latency_events(results), ".");
  if (results.jobs > 1)
    text += str(" ", results.jobs,
                " runs shared the machine at a time: their requests/s are below what one alone reaches.");
  return text;
}

}  // namespace lime
