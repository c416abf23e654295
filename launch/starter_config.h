// A configuration to start from, for a dataset that nobody has trained on yet.
#pragma once

#include <cstdint>
#include <string>

#include "io/dataset.h"

namespace lime {

struct StarterOptions {
  std::string task;       // label to learn; "": the first
  int64_t hold_out = 0;   // last days, which nothing is learned from; 0: as many as have a twentieth of the
                          // requests
  std::string data_path;  // as it is written
};

// YAML with comments, which parses and whose features the dataset has: every column on its side, days, a
// history length that holds the whole of nearly all users', a batch that leaves some hundred steps, and for
// the rest what has done well on real logs (configs/kuairand.yaml). Reads the events' offsets. Throws
// UserError naming `--task` or `--hold-out` where the dataset has not that label, or so many days.
std::string starter_config(const Dataset&, const StarterOptions&);

}  // namespace lime
