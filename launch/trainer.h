// Trainer: the loop. One step = the same global batch on any number of ranks (docs/architecture.md, Numbers
// and bits).
#pragma once

#include <optional>
#include <string>

#include "model/checkpoint.h"
#include "model/config.h"
#include "parallel/process_group.h"

namespace lime {

struct TrainOptions {
  std::string run_directory;
  bool resume = false;
  bool verbose = false;
  std::string trace_path = {};  // Chrome trace JSON of rank 0; empty: none
  std::string rows_path = {};   // the rows of the evaluation at the end (scored_rows.h); empty: not written
  std::optional<VerifiedCheckpoint> first_weights = {};  // a new run's, which config.train.from names
};

// Collective. Trains to the end (or to a signal: then checkpoints and returns), writes checkpoints,
// metrics.jsonl and TensorBoard files under the run directory, evaluates config.data.eval at the end. Returns
// the exit code.
int train(ProcessGroup&, const Config&, const TrainOptions&);

}  // namespace lime
