// BestCheckpoint: which evaluation of a run was the best by config.train.best, whose checkpoint is kept
// beside the newest ones, and whether config.train.patience is over.
//
// metrics.jsonl is what a job that goes on knows it from: the evaluations of these held-out days up to its
// step, of which those whose checkpoint is still there can be the best. So it is the same after any stop, on
// any number of ranks. RUN/best.json (model/best_record.h) is what readers of the run are told.
//
//   evaluation better?  ->  its checkpoint is written, the one before still kept  ->  best.json  ->  that one
//   goes
//
// A run that is killed anywhere between has one of the two whole, and best.json names it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "launch/best_metric.h"
#include "launch/evaluator.h"
#include "model/config.h"
#include "parallel/communicator.h"

namespace lime {

class BestCheckpoint {
 public:
  // Collective. Of a run at its first step, or of one that goes on, whose metrics.jsonl ends at its step;
  // brings best.json up to date. `days`: those that are evaluated. `config` must outlive this.
  BestCheckpoint(Communicator&, const Config& config, std::string run_directory,
                 std::vector<std::string> days);

  bool is_kept() const { return metric_.has_value(); }  // train.best names a metric
  // Of the best evaluation so far; on all ranks.
  std::optional<int64_t> step() const { return best_.step(); }
  int64_t evaluated_step() const { return evaluated_step_; }  // of the last evaluation; -1: none
  bool patience_is_over() const;
  // What save_checkpoint is to keep: the best that is on the disk.
  std::optional<int64_t> kept_step() const { return kept_step_; }

  // Collective; rank 0's results count. Whether this evaluation is the best so far: then keep() follows, once
  // a checkpoint of its step is written.
  bool add(Communicator&, int64_t step, const std::vector<EvalResult>& results);
  // Collective. Writes best.json, then removes the one that was the best before, unless it is among the
  // newest.
  void keep(Communicator&);

  std::string describe() const;  // "best click.auc: 0.854301 of step 60"
  std::string in_vain() const;   // "3 evaluations without a better click.auc than that of step 60"

 private:
  void record() const;

  const Config& config_;
  std::string run_directory_;
  std::vector<std::string> days_;
  std::optional<BestMetric> metric_;
  BestSoFar best_{true};
  std::optional<int64_t> kept_step_;
  int64_t evaluated_step_ = -1;
};

}  // namespace lime
