// TrainStep: one optimizer step over one global batch, the same bits for any power-of-two number of ranks.
//
//   finish_lookup(t)  begin_lookup(t+1)  for each micro-batch: forward, loss, backward  |  buckets reduce
//   under backward reduce row gradients  norms, clipping  AdamW  table updates
//
// Losses are weighted means: task k's loss is divided by its sample weights over the whole global batch, then
// times its task weight; the step's loss is the sum over tasks.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "launch/batch_source.h"
#include "layers/adamw.h"
#include "model/config.h"
#include "model/network.h"
#include "parallel/gradient_buckets.h"
#include "parallel/process_group.h"

namespace lime {

struct StepOutcome {
  std::vector<double> task_loss;  // mean loss by task, before task weights
  double loss = 0;                // sum of task weight x mean loss
  double gradient_norm = 0;       // before clipping; dense and sparse if clipping is on, else dense alone
  bool finite = true;             // false: nothing was updated
};

class TrainStep {
 public:
  TrainStep(ProcessGroup&, Context&, const Config&, Network&, AdamW&);
  ~TrainStep();

  // Collective. The id exchange of `batch` is started if the step before did not; `next` (may be null) is the
  // batch after it, whose exchange is started under this one's compute. `step` counts from 1. Rates are this
  // step's.
  StepOutcome run(const GlobalBatch& batch, const GlobalBatch* next, int64_t step, double learning_rate,
                  double sparse_lr_scale);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// The learning rate of a step (1 is the first): linear warm-up, then constant, linear or cosine decay over
// `total` steps.
double learning_rate_at(const TrainConfig&, int64_t step, int64_t total);

}  // namespace lime
