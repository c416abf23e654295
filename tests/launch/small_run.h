// A run small enough for a unit test: a dataset written on the spot, a configuration, a network, some
// training.
#pragma once

#include <string>

#include "layers/adamw.h"
#include "model/checkpoint.h"
#include "model/config.h"
#include "model/network.h"
#include "parallel/process_group.h"
#include "runtime/context.h"

namespace lime {

// Days 2024-01-01..03, 4 parts, 60 users, 2 tasks (click, like; like with a sample weight), a multi-valued
// and a real column. Not collective.
Dataset write_small_dataset(const std::string& directory);

// Collective. The same, written for all ranks of the test group, which share the directory above.
Dataset shared_small_dataset(const std::string& directory);

// lime_xor over that dataset: trains on the first two days, four micro-batches. `overrides` as --set.
Config small_config(const std::string& dataset, const Overrides& overrides = {});

// A network over `comm` with its optimizer, as a job starts.
struct SmallRun {
  SmallRun(Communicator&, const Config&, const Dataset&, Device device = {});
  // Collective over the test group (which `comm` must be of): some optimizer steps, so that there are rows
  // and moments.
  void train(ProcessGroup&, const Dataset&, int steps);

  Config config;
  Context ctx;
  Network network;
  AdamW adamw;
  TrainState state;
};

// Collective. A checkpoint's directory into a run that just began.
TrainState load(Communicator&, const std::string& checkpoint, SmallRun&);

// Collective. Directory of a run's newest good checkpoint; "none" where there is none.
std::string newest_good(Communicator&, const std::string& run);

}  // namespace lime
