// Which run directory, which of its checkpoints, and with what changes to its configuration.
#pragma once

#include <string>

#include "model/config.h"
#include "parallel/communicator.h"

namespace lime {

struct RunChoice {
  std::string run;         // run directory
  std::string checkpoint;  // name under RUN/checkpoints; "": the newest good one
  std::string data;        // dataset directory in place of the run's, or ""
  Overrides overrides;
};

std::string config_path(const std::string& run_directory);

// The run's configuration with the choice's overrides. Throws UserError where it is no run directory.
Config load_run_config(const RunChoice&);

// Collective. The directory of the chosen checkpoint. Throws UserError where there is none, naming those that
// are.
std::string choose_checkpoint(Communicator&, const RunChoice&);

// Collective. Where config.train.from is a run, makes it its newest good checkpoint, and has config.data.seen
// name all days that this checkpoint's weights were trained on. Throws UserError where it is neither run nor
// checkpoint.
void resolve_first_weights(Communicator&, Config&);

}  // namespace lime
