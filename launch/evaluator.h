// Evaluator: scores held-out days and merges the metrics over ranks.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "launch/metrics.h"
#include "launch/scoring.h"

namespace lime {

struct TaskMetrics {
  std::string task;
  std::vector<std::pair<std::string, Metrics>> days;  // by day, in order
  Metrics all;
};

struct EvalResult {
  std::string history;  // running, frozen, none, stranger
  std::vector<TaskMetrics> tasks;
  int64_t requests = 0;
  int64_t truncated = 0;  // histories cut to max_history
  double seconds = 0;
};

// Throws UserError naming those of `days` that config.data.train or data.seen holds: what a model was trained
// on tells nothing of it. `option` is what named the days: "data.eval".
void refuse_trained_days(const Config&, const Dataset&, const std::vector<std::string>& days,
                         const std::string& option);

// Collective; the result is complete on rank 0 (and empty elsewhere), the same bits for any number of ranks
// but for `seconds`. Scores with the tables as they are: unseen ids read as their initial values. A candidate
// whose sample weight for a task is 0 is left out of that task. Uses the context's arena. A file that is
// broken is one UserError on all ranks, a signal to any of them (scoring.signal) one Interrupted. `sink` is
// given each task's rows on rank 0, in any order; what it throws is thrown on all ranks.
using RowSink = std::function<void(const std::string& task, const std::vector<ScoredRow>&)>;
EvalResult evaluate(const Scoring&, const std::vector<std::string>& days, HistoryMode,
                    const ScoringProgress& progress = {}, const RowSink& sink = {});

// Collective. Every mode of config.eval.history, in order. Where `rows_path` is not empty, rank 0 writes all
// rows there (launch/scored_rows.h) once the last mode is done; given up before, nothing is left there.
std::vector<EvalResult> evaluate_modes(const Scoring&, const std::vector<std::string>& days,
                                       const std::string& rows_path, const ScoringProgress& progress = {});

}  // namespace lime
