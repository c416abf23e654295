#include "model/run_choice.h"

#include <filesystem>

#include "model/checkpoint.h"
#include "runtime/error.h"
#include "runtime/text.h"

namespace lime {

std::string config_path(const std::string& run_directory) { return run_directory + "/config.yaml"; }

Config load_run_config(const RunChoice& choice) {
  const std::string path = config_path(choice.run);
  if (!std::filesystem::exists(path))
    throw UserError(str(choice.run, " is not a run directory (it has no config.yaml)"));
  Overrides overrides = choice.overrides;
  if (!choice.data.empty()) overrides.emplace_back("data.path", choice.data);
  return load_config(path, overrides);
}

std::string choose_checkpoint(Communicator& comm, const RunChoice& choice) {
  if (choice.checkpoint.empty()) {
    const auto newest = newest_good_checkpoint(comm, choice.run);
    if (!newest) throw UserError(str("run directory ", choice.run, " has no usable checkpoint"));
    return *newest;
  }
  const std::string directory = checkpoint_directory(choice.run, choice.checkpoint);
  if (std::filesystem::is_directory(directory)) return directory;
  const std::string known = joined(list_checkpoints(choice.run));
  throw UserError(str("--checkpoint: found ", choice.checkpoint, ", expected one of ", choice.run, ": ",
                      known.empty() ? "(it has none)" : known));
}

}  // namespace lime
