#include "launch/eval_report.h"

#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "launch/json_number.h"
#include "launch/text_table.h"
#include "runtime/error.h"

namespace lime {
namespace {

std::string fixed(double value, int digits) {
  if (std::isnan(value)) return "-";
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

// Columns that these results can have: of requests where some have several candidates, and so on.
std::vector<MetricName> columns_of(const TaskMetrics& task) {
  std::vector<MetricName> columns;
  for (const auto& name : metric_names)
    if (!std::isnan(task.all.*name.value) || name.kind == MetricKind::auc || name.kind == MetricKind::gauc ||
        name.kind == MetricKind::ne)
      columns.push_back(name);
  return columns;
}

std::vector<std::string> table_row(const std::string& name, const Metrics& m,
                                   const std::vector<MetricName>& columns) {
  std::vector<std::string> row = {"  " + name, std::to_string(m.rows), std::to_string(m.positives)};
  for (const auto& column : columns) row.push_back(fixed(m.*column.value, 4));
  row.push_back(fixed(m.calibration, 4));
  return row;
}

nlohmann::ordered_json to_object(const Metrics& m) {
  nlohmann::ordered_json object = {{"rows", m.rows}, {"positives", m.positives}};
  for (const auto& name : metric_names) object[name.key] = json_number(m.*name.value);
  object["log_loss"] = json_number(m.log_loss);
  object["calibration"] = json_number(m.calibration);
  object["gauc_users"] = m.gauc_users;
  object["ranked_requests"] = m.ranked_requests;
  return object;
}

}  // namespace

std::string to_table(const std::vector<EvalResult>& results) {
  std::string text;
  for (const auto& result : results) {
    if (!text.empty()) text += "\n";
    text += str("history ", result.history, ": ", result.requests, " requests, ", result.truncated,
                " histories truncated, ", fixed(result.seconds, 1), " s\n");
    std::vector<std::vector<std::string>> rows;
    for (const auto& task : result.tasks) {
      const auto columns = columns_of(task);
      rows.push_back({task.task, "rows", "positives"});
      for (const auto& column : columns) rows.back().emplace_back(column.title);
      rows.back().emplace_back("calibration");
      for (const auto& [day, metrics] : task.days) rows.push_back(table_row(day, metrics, columns));
      rows.push_back(table_row("all", task.all, columns));
    }
    text += aligned_table(rows);
  }
  return text;
}

std::string to_lines(const std::vector<EvalResult>& results) {
  std::string text;
  for (const auto& result : results)
    for (const auto& task : result.tasks) {
      text += str(text.empty() ? "" : "\n", "  ", task.task);
      for (const auto& column : columns_of(task))
        text += str("  ", column.title, " ", fixed(task.all.*column.value, 4));
      text += str("  (history ", result.history, ")");
    }
  return text;
}

std::string to_json(const std::vector<EvalResult>& results, const std::string& checkpoint) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const auto& result : results) {
    nlohmann::ordered_json tasks = nlohmann::ordered_json::array();
    for (const auto& task : result.tasks) {
      nlohmann::ordered_json days = nlohmann::ordered_json::object();
      for (const auto& [day, metrics] : task.days) days[day] = to_object(metrics);
      tasks.push_back({{"task", task.task}, {"all", to_object(task.all)}, {"days", days}});
    }
    list.push_back({{"checkpoint", checkpoint},
                    {"history", result.history},
                    {"requests", result.requests},
                    {"truncated", result.truncated},
                    {"tasks", tasks}});
  }
  return list.dump(2) + "\n";
}

}  // namespace lime
