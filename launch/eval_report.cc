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

std::vector<std::string> table_row(const std::string& name, const Metrics& m) {
  return {"  " + name,     std::to_string(m.rows), std::to_string(m.positives),
          fixed(m.auc, 4), fixed(m.gauc, 4),       fixed(m.wt_auc, 4),
          fixed(m.ne, 4),  fixed(m.calibration, 4)};
}

nlohmann::ordered_json to_object(const Metrics& m) {
  return {{"rows", m.rows},
          {"positives", m.positives},
          {"auc", json_number(m.auc)},
          {"gauc", json_number(m.gauc)},
          {"gauc_users", m.gauc_users},
          {"wt_auc", json_number(m.wt_auc)},
          {"ne", json_number(m.ne)},
          {"log_loss", json_number(m.log_loss)},
          {"calibration", json_number(m.calibration)}};
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
      rows.push_back({task.task, "rows", "positives", "AUC", "GAUC", "WT-AUC", "NE", "calibration"});
      for (const auto& [day, metrics] : task.days) rows.push_back(table_row(day, metrics));
      rows.push_back(table_row("all", task.all));
    }
    text += aligned_table(rows);
  }
  return text;
}

std::string to_lines(const std::vector<EvalResult>& results) {
  std::string text;
  for (const auto& result : results)
    for (const auto& task : result.tasks)
      text +=
          str(text.empty() ? "" : "\n", "  ", task.task, "  AUC ", fixed(task.all.auc, 4), "  GAUC ",
              fixed(task.all.gauc, 4), "  NE ", fixed(task.all.ne, 4), "  (history ", result.history, ")");
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
