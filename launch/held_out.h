// HeldOut: the evaluations of config.data.eval while a run goes on and at its end, and the best of them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "launch/best_checkpoint.h"
#include "launch/evaluator.h"
#include "launch/metrics_log.h"
#include "launch/progress.h"
#include "launch/stop_signal.h"
#include "parallel/process_group.h"

namespace lime {

// The run that is evaluated; all of it outlives HeldOut.
struct HeldOutRun {
  ProcessGroup& group;
  Context& ctx;
  const Config& config;
  const Dataset& dataset;
  std::shared_ptr<const ItemTable> items;
  const std::string& directory;
  const StopSignal& signal;  // gives an evaluation up
  MetricsLog* log;           // rank 0
  Progress& progress;
};

class HeldOut {
 public:
  explicit HeldOut(HeldOutRun);  // collective

  bool due(int64_t step) const;  // train.eval_every
  // Collective. Whether the run was stopped or killed in the evaluation of `step`, which it goes on from.
  bool was_given_up(int64_t step) const;
  // Collective. Where it is the best so far, `save` has to see that there is a checkpoint of `step`. False: a
  // signal came, and it was given up.
  bool evaluate_on_the_way(Network&, int64_t step, const std::function<void()>& save);
  const BestCheckpoint& best() const { return best_; }

  // Collective, once the last step has its checkpoint. The step whose checkpoint eval.json is to be of: the
  // best one, for which the last step is evaluated first. Throws Interrupted where it was given up.
  int64_t step_of_result(Network&, int64_t last_step);
  // Collective. Writes eval.json and, where `rows_path` is not empty, the rows: of the weights of that step,
  // which `network` has. Throws Interrupted where it was given up: neither is there then.
  void write_result(Network&, int64_t step, const std::string& rows_path);

 private:
  std::vector<EvalResult> evaluate(Network&, const std::string& rows_path) const;
  void add(int64_t step, const std::vector<EvalResult>&, const std::function<void()>& save);

  HeldOutRun run_;
  std::vector<std::string> days_;
  BestCheckpoint best_;
  std::optional<std::vector<EvalResult>> of_last_step_;
};

// RUN/eval.json.
std::string eval_path(const std::string& run_directory);

}  // namespace lime
