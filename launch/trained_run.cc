#include "launch/trained_run.h"

#include <filesystem>

#include "launch/checkpoint.h"
#include "launch/run_directory.h"
#include "parallel/device_communicator.h"
#include "runtime/error.h"

namespace lime {
namespace {

std::string choose_checkpoint(ProcessGroup& group, const RunChoice& choice) {
  if (choice.checkpoint.empty()) {
    const auto newest = newest_good_checkpoint(group, choice.run);
    if (!newest) throw UserError(str("run directory ", choice.run, " has no usable checkpoint"));
    return *newest;
  }
  const std::string directory = choice.run + "/checkpoints/" + choice.checkpoint;
  if (std::filesystem::is_directory(directory)) return directory;
  std::string known;
  for (const auto& name : list_checkpoints(choice.run))
    known += (known.empty() ? "" : ", ") + std::filesystem::path(name).filename().string();
  throw UserError(str("--checkpoint: found ", choice.checkpoint, ", expected one of ", choice.run, ": ",
                      known.empty() ? "(it has none)" : known));
}

}  // namespace

Config load_run_config(const RunChoice& choice) {
  const std::string path = config_path(choice.run);
  if (!std::filesystem::exists(path))
    throw UserError(str(choice.run, " is not a run directory (it has no config.yaml)"));
  Overrides overrides = choice.overrides;
  if (!choice.data.empty()) overrides.emplace_back("data.path", choice.data);
  return load_config(path, overrides);
}

TrainedRun::TrainedRun(ProcessGroup& group, const RunChoice& choice)
    : config_(load_run_config(choice)),
      dataset_(Dataset::open(config_.data.path)),
      context_(device_of_rank(config_.device, group), config_),
      checkpoint_(choose_checkpoint(group, choice)),
      network_(context_, group.world(), config_, dataset_.schema()) {
  load_checkpoint(group, checkpoint_, config_, network_, nullptr);
}

}  // namespace lime
