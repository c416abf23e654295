// Evaluator: scores held-out days and merges the metrics over ranks.
#pragma once

#include <string>
#include <vector>

#include "io/reader.h"
#include "launch/config.h"
#include "launch/metrics.h"
#include "launch/network.h"
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
  int64_t truncated = 0;
  double seconds = 0;
};

// Collective; the result is complete on rank 0 (and empty elsewhere). Scores with the tables as they are: unseen ids read as
// their initial values.
EvalResult evaluate(ProcessGroup&, Context&, Network&, const Dataset&, const Config&, const std::vector<std::string>& days,
                    HistoryMode);

std::string to_table(const std::vector<EvalResult>&);
std::string to_json(const std::vector<EvalResult>&);

// Collective. Writes scores of every candidate of `days` to an HDF5 file (rank 0 writes, atomically): /request/day, user,
// time, part, row; /candidate/offsets, item; /score/TASK (probabilities).
void predict(ProcessGroup&, Context&, Network&, const Dataset&, const Config&, const std::vector<std::string>& days,
             HistoryMode, const std::string& out_path);

}  // namespace lime
