// A run directory with one checkpoint of a model that nobody trained, over a small dataset: what a
// checkpoint's files and a scorer's requests are tried on.
#pragma once

#include <string>

#include "io/dataset.h"
#include "model/config.h"
#include "model/network.h"

namespace lime::fuzz {

struct SmallRun {
  explicit SmallRun(const std::string& directory);

  std::string directory;   // of the run; its data are in DIRECTORY/data
  std::string checkpoint;  // its directory
  Config config;
  Dataset dataset;
};

inline constexpr int64_t small_run_items = 6;

}  // namespace lime::fuzz
