#include "launch/importance/report.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "launch/chart.h"
#include "launch/compare/bootstrap_json.h"
#include "launch/report_page.h"
#include "launch/text_table.h"
#include "runtime/error.h"
#include "runtime/text.h"

namespace lime {
namespace {

constexpr int digits = 4;

std::string number(double value) { return std::isnan(value) ? "-" : grouped(value, digits); }

std::string interval(const Estimate& e) {
  return std::isnan(e.low) ? "" : str(grouped(e.low, digits), " to ", grouped(e.high, digits));
}

// The table's columns behind that of AUC.
std::vector<MetricKind> further_metrics(const ImportanceResult& result) {
  const bool has_requests =
      std::any_of(result.tasks.begin(), result.tasks.end(),
                  [](const TaskImportance& task) { return task.whole.ranked_requests > 0; });
  std::vector<MetricKind> kinds;
  for (const MetricKind kind : metric_kinds) {
    const bool of_requests = is_of_requests(kind);
    if (kind == MetricKind::auc || (of_requests && !has_requests)) continue;
    if (kind != MetricKind::wt_auc || result.with_watch_time) kinds.push_back(kind);
  }
  return kinds;
}

std::string measured_on(const ImportanceResult& result, const TaskImportance& task) {
  std::string text = str(grouped(task.whole.rows), " rows of ", grouped(task.users), " users, histories ",
                         result.history, "; as they are AUC ", number(task.whole.auc));
  for (const MetricKind kind : further_metrics(result))
    text += str(", ", to_string(kind), " ", number(value_of(task.whole, kind)));
  return text;
}

// A sentence each.
std::vector<std::string> how_to_read(const ImportanceResult& result) {
  std::vector<std::string> sentences = {
      "How much worse the model ranks when these features are those of another row: AUC less, NE more."};
  if (result.resamples > 0) {
    sentences.push_back(str("95 % bootstrap intervals over users (", grouped(result.resamples),
                            " resamples), of paired differences."));
    sentences.push_back(
        "Where one reaches below 0, these days do not show that the model gains by the feature.");
  }
  sentences.push_back(
      "Features that say the same cover for each other: shuffle them together (--features a+b).");
  return sentences;
}

int slot_of(const std::string& set) {
  if (set.find('+') != std::string::npos) return 3;
  return set.starts_with(to_string(FeatureSide::history))     ? 0
         : set.starts_with(to_string(FeatureSide::candidate)) ? 1
                                                              : 2;
}

double reach(const FeatureWorth& set) {
  const Estimate& loss = set.of(MetricKind::auc);
  return std::fmax(std::abs(loss.value), std::fmax(std::abs(loss.low), std::abs(loss.high)));
}

ReportFigure chart_of(const std::string& title, const std::vector<FeatureWorth>& sets,
                      const std::string& caption) {
  IntervalChart chart;
  chart.title = title;
  chart.x.label = "AUC less";
  chart.right = "worth more";
  for (const auto& set : sets) {
    const Estimate& loss = set.of(MetricKind::auc);
    const bool known = !std::isnan(loss.low);
    chart.rows.push_back({set.name,
                          loss.value,
                          known ? loss.low : loss.value,
                          known ? loss.high : loss.value,
                          {},
                          slot_of(set.name)});
  }
  return {to_svg(chart, SvgUse::inside), caption};
}

// What is small beside the greatest has a chart, and a scale, of its own.
std::vector<ReportFigure> charts_of(const TaskImportance& task) {
  constexpr double small = 1.0 / 20;
  double greatest = 0;
  for (const auto& set : task.sets) greatest = std::fmax(greatest, reach(set));
  std::vector<FeatureWorth> above, below;
  for (const auto& set : task.sets) (reach(set) < small * greatest ? below : above).push_back(set);
  if (below.size() < 2) above = task.sets, below.clear();
  const std::string title = str("AUC lost on ", task.task, " by what is shuffled");
  std::vector<ReportFigure> figures = {
      chart_of(title, above, "history, candidate and user are all of their features.")};
  if (!below.empty())
    figures.push_back(chart_of(str(title, ": the small ones"), below, "On a scale of their own."));
  return figures;
}

std::string table_html(const ImportanceResult& result, const TaskImportance& task) {
  std::string html = "<div class=\"card wide\"><table>\n<thead><tr><th>shuffled</th><th>AUC less</th>";
  for (const MetricKind kind : further_metrics(result))
    html += str("<th>", to_string(kind), kind == MetricKind::ne ? " more" : " less", "</th>");
  html += "</tr></thead>\n<tbody>\n";
  const auto cell = [](const Estimate& e) {
    return str("<td><span class=\"value\">", number(e.value), "</span><small>", interval(e), "</small></td>");
  };
  for (const auto& set : task.sets) {
    html += str("<tr><th>", escape_xml(set.name), set.whole_side ? "<small>all of its features</small>" : "",
                "</th>", cell(set.of(MetricKind::auc)));
    for (const MetricKind kind : further_metrics(result)) html += cell(set.of(kind));
    html += "</tr>\n";
  }
  return html + "</tbody></table></div>\n";
}

}  // namespace

std::string to_text(const ImportanceResult& result) {
  std::string text;
  for (const auto& task : result.tasks) {
    text += str(task.task, ": ", measured_on(result, task), "\n");
    std::vector<std::vector<std::string>> lines{{"  shuffled", "AUC less"}};
    if (result.resamples > 0) lines[0].push_back("95 % over users");
    for (const MetricKind kind : further_metrics(result))
      lines[0].push_back(str(to_string(kind), kind == MetricKind::ne ? " more" : " less"));
    for (const auto& set : task.sets) {
      lines.push_back({str("  ", set.name), number(set.of(MetricKind::auc).value)});
      if (result.resamples > 0) lines.back().push_back(interval(set.of(MetricKind::auc)));
      for (const MetricKind kind : further_metrics(result))
        lines.back().push_back(number(set.of(kind).value));
    }
    text += aligned_table(lines) + "\n";
  }
  for (const auto& sentence : how_to_read(result)) text += sentence + "\n";
  return text;
}

std::string to_json(const ImportanceResult& result) {
  nlohmann::ordered_json tasks = nlohmann::ordered_json::array();
  for (const auto& task : result.tasks) {
    nlohmann::ordered_json whole = {
        {"rows", task.whole.rows}, {"positives", task.whole.positives}, {"users", task.users}};
    for (const MetricKind kind : metric_kinds)
      whole[json_key(kind)] = json_number(value_of(task.whole, kind));
    nlohmann::ordered_json sets = nlohmann::ordered_json::array();
    for (const auto& set : task.sets) {
      nlohmann::ordered_json losses;
      for (const MetricKind kind : metric_kinds) losses[json_key(kind)] = to_json(set.of(kind));
      sets.push_back({{"shuffled", set.name}, {"worse_by", losses}});
    }
    tasks.push_back({{"task", task.task}, {"as_they_are", whole}, {"sets", sets}});
  }
  const nlohmann::ordered_json report = {
      {"run", result.run},   {"history", result.history},     {"days", result.days},
      {"seed", result.seed}, {"resamples", result.resamples}, {"level", 0.95},
      {"tasks", tasks}};
  return report.dump(2) + "\n";
}

std::string to_html(const ImportanceResult& result) {
  std::string body;
  for (const auto& task : result.tasks)
    body += str("<section>\n<h2>", escape_xml(task.task), "</h2>\n<p>", escape_xml(measured_on(result, task)),
                "</p>\n", figures_html(charts_of(task)), table_html(result, task), "</section>\n");
  for (const auto& sentence : how_to_read(result)) body += str("<p>", escape_xml(sentence), "</p>\n");
  return report_page(
      "What features are worth",
      {{"model", result.run}, {"held out", days_text(result.days)}, {"histories", result.history}}, body);
}

}  // namespace lime
