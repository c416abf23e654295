#include "model/run_choice.h"

#include <filesystem>

#include "model/best_record.h"
#include "model/checkpoint_manifest.h"
#include "model/together.h"
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

Config without_optimizer_state(Config config) {
  config.embeddings.defaults.optimizer = SparseOptimizer::sgd;
  for (auto& [name, table] : config.embeddings.tables) table.optimizer = SparseOptimizer::sgd;
  return config;
}

namespace {

// The name that best.json has, "" where there is none; on all ranks.
std::string best_of(Communicator& comm, const std::string& run) {
  std::vector<char> name;
  together(comm, [&] {
    if (comm.rank() != 0) return;
    if (const auto best = read_best(run)) name.assign(best->checkpoint.begin(), best->checkpoint.end());
  });
  broadcast_bytes(comm, name, 0);
  return {name.begin(), name.end()};
}

}  // namespace

VerifiedCheckpoint choose_checkpoint(Communicator& comm, const RunChoice& choice) {
  const std::string& run = choice.run;
  const bool wants_best = choice.checkpoint == "best";
  const std::string best = choice.checkpoint.empty() || wants_best ? best_of(comm, run) : "";
  if (best.empty() && wants_best)
    throw UserError(
        str("--checkpoint: found best, but ", run,
            " has no best.json: a run keeps its best checkpoint, from its first evaluation on, if "
            "train.best names a metric; expected newest or a checkpoint's name"));
  if (best.empty() && (choice.checkpoint.empty() || choice.checkpoint == "newest")) {
    auto newest = newest_good_checkpoint(comm, run);
    if (!newest) throw UserError(str("run directory ", run, " has no usable checkpoint"));
    return *std::move(newest);
  }
  const std::string directory = checkpoint_directory(run, best.empty() ? choice.checkpoint : best);
  if (std::filesystem::is_directory(directory)) return VerifiedCheckpoint(comm, directory);
  const std::string known = joined(list_checkpoints(run));
  throw UserError(str(best.empty() ? "--checkpoint" : best_path(run), ": found ",
                      best.empty() ? choice.checkpoint : best, ", expected ",
                      best.empty() ? "best, newest or one of " : "it among the checkpoints of ", run, ": ",
                      known.empty() ? "(it has none)" : known));
}

namespace {

// Those that the run's own configuration does not fix: its numbers are then what the first weights take them
// for, whatever they are on other days.
void take_buckets(const Config& origin, Config& config) {
  const auto& known = origin.features.buckets;
  for (const auto& feature : all_features(config.features)) {
    const auto there = known.find(feature);
    const auto own = config.features.buckets.find(feature);
    const bool open = own == config.features.buckets.end() || (!own->second.known() && there != known.end() &&
                                                               there->second.count <= own->second.count);
    if (there != known.end() && open) config.features.buckets[feature] = there->second;
  }
}

}  // namespace

VerifiedCheckpoint resolve_first_weights(Communicator& comm, Config& config) {
  const std::filesystem::path from(config.train.from);
  const bool is_run = std::filesystem::exists(config_path(from.string()));
  // RUN/checkpoints/step-N
  const std::filesystem::path run =
      is_run ? from : std::filesystem::weakly_canonical(from).parent_path().parent_path();
  if (!is_run &&
      !(std::filesystem::exists(from / manifest_name) && std::filesystem::exists(config_path(run.string()))))
    throw UserError(
        str("train.from: ", from.string(), " is neither a run directory nor a checkpoint of one"));
  const Config origin = load_run_config({run.string(), "", "", {}});
  std::vector<std::string> seen;
  for (const std::string& days : {config.data.seen, origin.data.seen, origin.data.train})
    if (!days.empty()) seen.push_back(days);
  config.data.seen = merged_days(joined(seen, ","), "data.seen");
  take_buckets(origin, config);
  VerifiedCheckpoint first = is_run ? choose_checkpoint(comm, {run.string(), "", "", {}})
                                    : VerifiedCheckpoint(comm, config.train.from);
  config.train.from = first.directory();
  return first;
}

}  // namespace lime
