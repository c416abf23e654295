// MetricsLog: RUN/metrics.jsonl, one JSON object a line, and TensorBoard event files under RUN/tensorboard.
//
//   {"kind":"train","step":20,"epoch":0,"loss":0.65,"ne":0.98,"learning_rate":0.001,"step_ms":31,...}
//   {"kind":"eval","step":335,"lines":10,"history":"running","task":"is_click","day":"2022-05-05","auc":0.741,...}
//
// An evaluation is whole where it has as many lines as each of them says; those of before do not say it.
// Every line is flushed as it is written. A number that is not finite is null. Times in milliseconds a step.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "launch/evaluator.h"
#include "launch/progress.h"

namespace lime {

class TensorboardWriter;

// Rank 0 only.
class MetricsLog {
 public:
  // `step`: the steps done so far: 0 for a new run. Lines beyond it (of a run that was stopped after its
  // checkpoint), a broken last line, and a last evaluation that is not whole, are cut off, so that no step
  // appears twice and an evaluation that was lost is made again. Throws UserError naming the file.
  MetricsLog(const std::string& run_directory, int64_t step);
  ~MetricsLog();
  MetricsLog(const MetricsLog&) = delete;
  MetricsLog& operator=(const MetricsLog&) = delete;

  void train(const StepReport&);
  // One line a history, task and day, and one for all days ("day":"all"). On the disk when it returns.
  void eval(int64_t step, const std::vector<EvalResult>&);

 private:
  void write_line(const std::string& line);

  std::string path_;
  int fd_ = -1;
  std::unique_ptr<TensorboardWriter> tensorboard_;
};

std::string metrics_path(const std::string& run_directory);

// Whether the file has an evaluation of that step.
bool has_evaluation(const std::string& path, int64_t step);

// Whether it has one of that step with the same histories, tasks and days.
bool has_evaluation(const std::string& path, int64_t step, const std::vector<EvalResult>&);

// What the file's evaluations say of one history and task: a metric of all held-out days together, NaN where
// it is null. In the file's order; nothing of a file that is not there.
struct LoggedEvaluation {
  int64_t step = 0;
  std::vector<std::string> days;
  double value = 0;
};
std::vector<LoggedEvaluation> logged_evaluations(const std::string& path, const std::string& history,
                                                 const std::string& task, const std::string& metric);

// Cuts RUN/metrics.jsonl back to the lines of steps <= step, and to whole ones; nothing if there is no such
// file.
void truncate_metrics(const std::string& path, int64_t step);

}  // namespace lime
