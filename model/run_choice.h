// Which run directory, which of its checkpoints, and with what changes to its configuration.
#pragma once

#include <string>

#include "model/checkpoint.h"
#include "model/config.h"
#include "parallel/communicator.h"

namespace lime {

struct RunChoice {
  std::string run;         // run directory
  std::string checkpoint;  // name under RUN/checkpoints, "best" or "newest"; "": see choose_checkpoint
  std::string data;        // dataset directory in place of the run's, or ""
  Overrides overrides;
};

std::string config_path(const std::string& run_directory);

// The run's configuration with the choice's overrides. Throws UserError where it is no run directory.
Config load_run_config(const RunChoice&);

// The same tables without optimizer state, which a checkpoint's rows are then read without: to score, that is
// half of the memory or less.
Config without_optimizer_state(Config);

// Collective. The chosen checkpoint, which every command and server that reads a run takes. With no choice
// made it is the best where the run keeps one (config.train.best; RUN/best.json, rank 0's, names it), else
// the newest that is whole. Throws UserError where there is none, naming those that are, and where one that
// was named, be it by best.json, is broken.
VerifiedCheckpoint choose_checkpoint(Communicator&, const RunChoice&);

// Collective. The checkpoint that config.train.from names: itself, or a run, of which it becomes the one
// that choose_checkpoint takes. Has config.data.seen name all days that its weights were trained on, and
// config.features.buckets the buckets that they know. Throws UserError where it is neither run nor
// checkpoint, or broken.
VerifiedCheckpoint resolve_first_weights(Communicator&, Config&);

// Settings as they were written take what a run of them found when it began, from its config.yaml: the
// checkpoint that train.from became, with the days that it has seen, and the buckets of numbers. What the
// settings themselves fix stays theirs, so that they are equal to `resolved` only if the run is one of them.
void take_resolved(const Config& resolved, Config& config);

}  // namespace lime
