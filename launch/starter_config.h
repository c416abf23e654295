// A configuration to start from, for a dataset that nobody has trained on yet.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "io/dataset.h"
#include "io/features_alone.h"

namespace lime {

struct StarterOptions {
  std::string task;       // label to learn; "": the first
  int64_t hold_out = 0;   // last days, which nothing is learned from; 0: as many as have a twentieth of the
                          // requests
  std::string data_path;  // as it is written
};

struct StarterConfig {
  std::string text;                // YAML with comments
  std::vector<Giveaway> left_out;  // features that alone give a label away, each once, by the worst of them
};

// A configuration that parses and whose features the dataset has: every column on its side, but those of
// candidates and users that give any label away (features_alone.h; a comment says so), days, a history length
// that holds the whole of nearly all users', a batch that leaves some hundred steps, and for the rest what
// has done well on real logs (configs/kuairand.yaml). Reads the events' offsets, and about the last million
// candidates of the days to train on. Throws UserError naming `--task` or `--hold-out` where the dataset has
// not that label, or so many days.
StarterConfig starter_config(const Dataset&, const StarterOptions&,
                             const std::function<void(int64_t done, int64_t total)>& progress = {});

}  // namespace lime
