#include "launch/metrics_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "launch/json_number.h"
#include "launch/tensorboard_writer.h"
#include "runtime/durable_file.h"
#include "runtime/error.h"
#include "runtime/text.h"

namespace lime {
namespace {

using Json = nlohmann::ordered_json;
using Scalars = std::vector<std::pair<std::string, double>>;

Json train_line(const StepReport& report) {
  const auto steps = static_cast<double>(report.steps);
  const auto rate = [&](int64_t count) {
    return json_number(report.step_ms > 0 ? static_cast<double>(count) / report.step_ms * 1000 : NAN);
  };
  Json line;
  line["kind"] = "train";
  line["step"] = report.step;
  line["epoch"] = report.epoch;
  line["loss"] = json_number(report.loss);
  line["ne"] = json_number(report.ne);
  line["learning_rate"] = json_number(report.learning_rate);
  line["gradient_norm"] = json_number(report.gradient_norm);
  line["requests"] = report.requests;
  line["history_tokens"] = report.history_tokens;
  line["candidates"] = report.candidates;
  line["requests_per_s"] = rate(report.requests);
  line["history_tokens_per_s"] = rate(report.history_tokens);
  line["step_ms"] = json_number(report.step_ms / steps);
  line["data_wait_ms"] = json_number(report.data_wait_ms / steps);
  if (report.work) {
    line["work_ms_fastest"] = json_number(report.work->fastest_ms);
    line["work_ms_median"] = json_number(report.work->median_ms);
    line["work_ms_slowest"] = json_number(report.work->slowest_ms);
    line["slowest_rank"] = report.work->slowest;
  }
  Json parts = Json::object();
  for (const auto& [name, ms] : report.parts_ms) parts[name] = json_number(ms / steps);
  if (!parts.empty()) line["parts_ms"] = parts;
  return line;
}

Scalars metric_values(const Metrics& m) {
  Scalars values = {{"log_loss", m.log_loss}, {"calibration", m.calibration}};
  for (const auto& name : metric_names) values.emplace_back(name.key, m.*name.value);
  return values;
}

Json eval_line(int64_t step, const std::string& history, const std::string& task, const std::string& day,
               const Metrics& metrics, int64_t lines) {
  Json line = {{"kind", "eval"}, {"step", step}, {"lines", lines},       {"history", history},
               {"task", task},   {"day", day},   {"rows", metrics.rows}, {"positives", metrics.positives}};
  for (const auto& [name, value] : metric_values(metrics)) line[name] = json_number(value);
  return line;
}

struct LineKind {
  int64_t step;
  bool evaluation;
  int64_t lines;  // of its evaluation; 0: of none, or not known, as before they were counted
};

// Nothing where the line is not one of ours.
std::optional<LineKind> kind_of(const Json& json) {
  if (!json.is_object() || !json.contains("step") || !json["step"].is_number_integer()) return std::nullopt;
  const bool evaluation = json.value("kind", Json()) == "eval";
  const Json lines = json.value("lines", Json());
  return LineKind{json["step"].get<int64_t>(), evaluation,
                  evaluation && lines.is_number_integer() ? lines.get<int64_t>() : 0};
}
std::optional<LineKind> kind_of(const std::string& line) {
  return kind_of(Json::parse(line, nullptr, false));
}

}  // namespace

std::string metrics_path(const std::string& run_directory) { return run_directory + "/metrics.jsonl"; }

bool has_evaluation(const std::string& path, int64_t step) {
  std::ifstream file(path, std::ios::binary);
  for (std::string line; std::getline(file, line);)
    if (const auto kind = kind_of(line); kind && kind->evaluation && kind->step == step) return true;
  return false;
}

std::vector<LoggedEvaluation> logged_evaluations(const std::string& path, const std::string& history,
                                                 const std::string& task, const std::string& metric) {
  std::vector<LoggedEvaluation> found;
  std::vector<std::string> days;  // of the evaluation whose lines these are: its last line is that of all
  int64_t step = 0;
  std::ifstream file(path, std::ios::binary);
  for (std::string line; std::getline(file, line);) {
    const Json json = Json::parse(line, nullptr, false);
    const auto kind = kind_of(json);
    if (!kind || !kind->evaluation || json.value("history", Json()) != history ||
        json.value("task", Json()) != task)
      continue;
    if (std::exchange(step, kind->step) != kind->step) days.clear();  // of one that was cut off
    const Json day = json.value("day", Json()), value = json.value(metric, Json());
    if (day == "all")
      found.push_back({kind->step, std::exchange(days, {}), value.is_number() ? value.get<double>() : NAN});
    else if (day.is_string())
      days.push_back(day);
  }
  return found;
}

bool has_evaluation(const std::string& path, int64_t step, const std::vector<EvalResult>& results) {
  const auto is_there = [&](const std::string& history, const TaskMetrics& task) {
    std::vector<std::string> days;
    for (const auto& day : task.days) days.push_back(day.first);
    const auto logged = logged_evaluations(path, history, task.task, "rows");
    return std::ranges::any_of(logged, [&](const auto& e) { return e.step == step && e.days == days; });
  };
  return std::ranges::all_of(results, [&](const EvalResult& result) {
    return std::ranges::all_of(result.tasks,
                               [&](const TaskMetrics& task) { return is_there(result.history, task); });
  });
}

void truncate_metrics(const std::string& path, int64_t step) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return;
  std::string line;
  int64_t size = 0, keep = 0;
  int64_t evaluated = 0, missing = 0;  // step, and further lines, of the evaluation that is being read
  while (std::getline(file, line) && !file.eof()) {  // eof: the last line has no end, it was cut off
    const auto kind = kind_of(line);
    if (!kind || kind->step > step) break;
    size += static_cast<int64_t>(line.size()) + 1;
    const bool goes_on = missing > 0 && kind->step == evaluated && kind->lines > 0;
    missing = goes_on ? missing - 1 : std::max<int64_t>(0, kind->lines - 1);
    evaluated = kind->step;
    if (missing == 0) keep = size;
  }
  if (truncate(path.c_str(), keep) != 0)
    throw UserError(str(path, ": cannot be written: ", std::strerror(errno)));
}

MetricsLog::MetricsLog(const std::string& run_directory, int64_t step) : path_(metrics_path(run_directory)) {
  truncate_metrics(path_, step);
  tensorboard_ = std::make_unique<TensorboardWriter>(run_directory + "/tensorboard", step);
  fd_ = open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd_ < 0) throw UserError(str(path_, ": cannot be written: ", std::strerror(errno)));
}

MetricsLog::~MetricsLog() { close(fd_); }

void MetricsLog::write_line(const std::string& line) { write_all(fd_, line + "\n", path_); }

void MetricsLog::train(const StepReport& report) {
  const Json line = train_line(report);
  write_line(line.dump());
  Scalars scalars;
  for (const char* name :
       {"loss", "ne", "learning_rate", "gradient_norm", "requests_per_s", "history_tokens_per_s", "step_ms",
        "data_wait_ms", "work_ms_fastest", "work_ms_median", "work_ms_slowest", "slowest_rank"})
    if (line.contains(name) && line[name].is_number())
      scalars.emplace_back(str("train/", name), line[name].get<double>());
  tensorboard_->scalars(report.step, scalars);
}

void MetricsLog::eval(int64_t step, const std::vector<EvalResult>& results) {
  Scalars scalars;
  int64_t count = 0;
  for (const auto& result : results)
    for (const auto& task : result.tasks) count += static_cast<int64_t>(task.days.size()) + 1;
  std::vector<std::string> lines;
  for (const auto& result : results) {
    for (const auto& task : result.tasks) {
      const auto add = [&](const std::string& day, const Metrics& metrics) {
        lines.push_back(eval_line(step, result.history, task.task, day, metrics, count).dump());
      };
      for (const auto& [day, metrics] : task.days) add(day, metrics);
      add("all", task.all);
      for (const auto& [name, value] : metric_values(task.all))
        scalars.emplace_back(str("eval_", result.history, "/", task.task, "/", name), value);
    }
  }
  if (!lines.empty()) write_line(joined(lines, "\n"));
  // What the best checkpoint is, is read from here by the next job.
  if (fdatasync(fd_) != 0) throw UserError(str(path_, ": cannot be written: ", std::strerror(errno)));
  tensorboard_->scalars(step, scalars);
}

}  // namespace lime
