// TrainedRun: a run directory opened for reading: its configuration, dataset and model, with a checkpoint's
// weights.
#pragma once

#include <string>

#include "io/dataset.h"
#include "launch/config.h"
#include "launch/network.h"
#include "launch/run_context.h"
#include "parallel/process_group.h"

namespace lime {

struct RunChoice {
  std::string run;         // run directory
  std::string checkpoint;  // name under RUN/checkpoints; "": the newest good one
  std::string data;        // dataset directory in place of the run's, or ""
  Overrides overrides;
};

// The run's configuration with the choice's overrides. Throws UserError where it is no run directory.
Config load_run_config(const RunChoice&);

class TrainedRun {
 public:
  // Collective.
  TrainedRun(ProcessGroup&, const RunChoice&);

  const Config& config() const { return config_; }
  const Dataset& dataset() const { return dataset_; }
  Context& context() { return context_; }
  Network& network() { return network_; }
  const std::string& checkpoint() const { return checkpoint_; }  // directory

 private:
  Config config_;
  Dataset dataset_;
  RunContext context_;
  std::string checkpoint_;
  Network network_;
};

}  // namespace lime
