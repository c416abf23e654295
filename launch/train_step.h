// TrainStep: one optimizer step over one global batch, the same bits for any power-of-two number of ranks.
//
//   finish_lookup(t)  begin_lookup(t+1)  for each micro-batch: forward, loss, backward  |  buckets reduce
//   under backward reduce row gradients  norms, clipping  AdamW  table updates
//
// Context parallelism (train.context_parallel = P > 1): R ranks are P times R / P. Rank p * R / P + g has
// part p, along time, of the histories of the micro-batches that rank g of R / P would have, and P-th of
// their candidates. Each part of a micro-batch is a leaf of the tree, so that the bits depend on P, but not
// on R.
//
// On a CUDA device a step is put on the context's stream, and the host goes on: what the step did is told
// later, by outcomes().
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
  int64_t step = 0;
  std::vector<double> task_loss;  // mean loss by task, before task weights
  double loss = 0;                // sum of task weight x mean loss
  double gradient_norm = 0;       // before clipping; dense and sparse if clipping is on, else dense alone
  bool finite = true;             // false: a loss or the norm is not; the run has to end
};

class TrainStep {
 public:
  TrainStep(ProcessGroup&, Context&, const Config&, Network&, AdamW&);
  ~TrainStep();

  // Collective. Begins step `step`, which counts from 1, and on the CPU finishes it. The id exchange of
  // `batch` is started if the step before did not; `next` (may be null) is the batch after it, whose exchange
  // is started under this one's compute. Rates are this step's. Where the norm of the gradient is not finite,
  // neither this step nor a later one updates anything.
  void run(const GlobalBatch& batch, const GlobalBatch* next, int64_t step, double learning_rate,
           double sparse_lr_scale);
  // Collective. What steps did, in their order: of all that were begun and not told of yet but the last
  // `under_way`. Waits for the device to have done them.
  std::vector<StepOutcome> outcomes(size_t under_way = 0);
  // Milliseconds that this rank worked itself since the last call. On the CPU: the time in run() less what it
  // waited there for other ranks. On a device: what the device took from the first micro-batch to the end of
  // the last one's backward, of the steps that outcomes() has told of; nobody waits for that number.
  double take_work_ms();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// The learning rate of a step (1 is the first): linear warm-up, then constant, linear or cosine decay over
// `total` steps.
double learning_rate_at(const TrainConfig&, int64_t step, int64_t total);

}  // namespace lime
