// Evaluator: scores held-out days and merges the metrics over ranks.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "io/reader.h"
#include "launch/metrics.h"
#include "model/config.h"
#include "model/network.h"
#include "parallel/process_group.h"

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

// Requests scored so far and in all, over all ranks; called on every rank after each global batch.
using ScoringProgress = std::function<void(int64_t done, int64_t total)>;

const char* to_string(HistoryMode);
// config.eval.history: one mode by name, or "both": running, then frozen.
std::vector<HistoryMode> history_modes(const std::string& text);

// Throws UserError naming those of `days` that config.data.train or data.seen holds: what a model was trained
// on tells nothing of it.
void refuse_trained_days(const Config&, const Dataset&, const std::vector<std::string>& days);

// Collective; the result is complete on rank 0 (and empty elsewhere), the same bits for any number of ranks
// but for `seconds`. Scores with the tables as they are: unseen ids read as their initial values. A candidate
// whose sample weight for a task is 0 is left out of that task. Uses the context's arena. A file that is
// broken is one UserError on all ranks.
// `sink` is given each task's rows on rank 0, in any order; what it throws is thrown on all ranks.
using RowSink = std::function<void(const std::string& task, const std::vector<ScoredRow>&)>;
EvalResult evaluate(Communicator&, Context&, Network&, const Dataset&, const Config&,
                    const std::vector<std::string>& days, HistoryMode, const ScoringProgress& progress = {},
                    const RowSink& sink = {});

// Collective. Every mode of config.eval.history, in order. Where `rows_path` is not empty, rank 0 writes all
// rows there (launch/scored_rows.h) once the last mode is done.
std::vector<EvalResult> evaluate_modes(ProcessGroup&, Context&, Network&, const Dataset&, const Config&,
                                       const std::vector<std::string>& days, const std::string& rows_path,
                                       const ScoringProgress& progress = {});

// A block a history mode: for each task rows by day, then all days. "-" where a metric is not defined.
std::string to_table(const std::vector<EvalResult>&);
// A line a history mode and task, of all days: "  click  AUC 0.8523  GAUC 0.8472  NE 0.6881  (history
// running)".
std::string to_lines(const std::vector<EvalResult>&);
// A list of results; a metric that is not defined is null. Leaves out `seconds`: equal text for equal
// results.
std::string to_json(const std::vector<EvalResult>&);

// Collective. Writes scores of every candidate of `days` to an HDF5 file (launch/scores_file.h; rank 0
// writes, atomically), the same bytes for any number of ranks. Throws the same UserError on all ranks, having
// removed what it wrote, if it cannot be written. No rank holds more than a batch's scores.
void predict(Communicator&, Context&, Network&, const Dataset&, const Config&,
             const std::vector<std::string>& days, HistoryMode, const std::string& out_path,
             const ScoringProgress& progress = {});

// The same over all ranks of a job.
inline EvalResult evaluate(ProcessGroup& group, Context& ctx, Network& network, const Dataset& dataset,
                           const Config& config, const std::vector<std::string>& days, HistoryMode mode,
                           const ScoringProgress& progress = {}) {
  return evaluate(group.world(), ctx, network, dataset, config, days, mode, progress);
}
inline void predict(ProcessGroup& group, Context& ctx, Network& network, const Dataset& dataset,
                    const Config& config, const std::vector<std::string>& days, HistoryMode mode,
                    const std::string& out_path, const ScoringProgress& progress = {}) {
  predict(group.world(), ctx, network, dataset, config, days, mode, out_path, progress);
}

}  // namespace lime
