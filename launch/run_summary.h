// A run or a checkpoint in words, for `lime inspect`.
#pragma once

#include <string>

namespace lime {

// The model, its data, what eval.json says of the held-out days, the best checkpoint where one is kept, all
// checkpoints, and what is in the newest.
std::string summarize_run(const std::string& run_directory);

// Where the run stood; tables and parameters with their sizes. Throws UserError if the checkpoint is broken.
std::string summarize_checkpoint(const std::string& directory);

}  // namespace lime
