// The same batches again and again, as the trainer gives steps: each begins before the outcome of the one
// before is heard.
#pragma once

#include <vector>

#include "launch/batch_source.h"
#include "launch/train_step.h"

namespace lime {

struct StepLoop {
  TrainStep& step;
  std::vector<GlobalBatch> batches;
  std::vector<double> losses = {};  // heard so far, by step
  int64_t number = 0;

  StepLoop(TrainStep& of, BatchSource& source, int count) : step(of) {
    for (int i = 0; i < count; ++i) batches.push_back(*source.next(false));
  }
  void epoch() {
    for (size_t i = 0; i < batches.size(); ++i) {
      step.run(batches[i], &batches[(i + 1) % batches.size()], ++number, 1e-2, 1.0);
      hear(1);
    }
  }
  // The outcomes of all steps but the last `under_way`.
  void hear(size_t under_way = 0) {
    for (const StepOutcome& outcome : step.outcomes(under_way)) losses.push_back(outcome.loss);
  }
};

}  // namespace lime
