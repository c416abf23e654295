// TrainedRun: a run directory opened for reading: its configuration, dataset and model, with a checkpoint's
// weights.
#pragma once

#include <memory>
#include <string>

#include "io/dataset.h"
#include "launch/run_context.h"
#include "launch/scoring.h"
#include "model/config.h"
#include "model/network.h"
#include "model/run_choice.h"
#include "parallel/process_group.h"

namespace lime {

// What is known of a run before its weights are read, which may take a while: what is asked of it is checked
// against this first.
struct RunDescription {
  RunDescription(ProcessGroup&, const RunChoice&);  // collective
  RunChoice choice;
  Config config;
  Dataset dataset;
};

class TrainedRun {
 public:
  // Collective.
  TrainedRun(ProcessGroup&, RunDescription);

  // `signal`: gives a pass up; must outlive it.
  Scoring scoring(const StopSignal* signal = nullptr) {
    return {group_.world(), context_, network_, config_, dataset_, items_, signal};
  }
  const std::string& checkpoint() const { return checkpoint_.directory(); }
  std::string checkpoint_name() const;  // "step-000000335"

 private:
  ProcessGroup& group_;
  Config config_;
  Dataset dataset_;
  std::shared_ptr<const ItemTable> items_;
  RunContext context_;
  VerifiedCheckpoint checkpoint_;
  std::unique_ptr<Communicator> of_tables_;  // over the device's memory
  Network network_;
};

}  // namespace lime
