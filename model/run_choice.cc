#include "model/run_choice.h"

#include <filesystem>

#include "model/best_record.h"
#include "model/checkpoint_files.h"
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

// Whether these settings leave it to the run to have a column in such buckets: they name how many it is to
// have at most or, of a run with first weights, nothing.
bool leave_open(const Config& config, const std::string& feature, const NumberBuckets& buckets) {
  const bool of_weights = !config.train.from.empty();
  const auto own = config.features.buckets.find(feature);
  if (own == config.features.buckets.end() && of_weights) return true;
  const NumberBuckets asked = own == config.features.buckets.end() ? NumberBuckets{} : own->second;
  return !asked.known() && buckets.count <= asked.count && (buckets.count > 0 || of_weights);
}

// Those that the run's own configuration does not fix: its numbers are then what the first weights take them
// for, whatever they are on other days.
void take_buckets(const Config& origin, Config& config) {
  const auto& known = origin.features.buckets;
  for (const auto& feature : all_features(config.features)) {
    const auto there = known.find(feature);
    if (there != known.end() && leave_open(config, feature, there->second))
      config.features.buckets[feature] = there->second;
  }
}

// Whether train.from became this checkpoint: it names it, or the run that it is of.
bool is_named_by(const std::string& from, const std::string& checkpoint) {
  if (from == checkpoint) return true;
  if (from.empty()) return false;
  const auto place = std::filesystem::weakly_canonical(checkpoint);
  return place == std::filesystem::weakly_canonical(from) ||
         place.parent_path() == std::filesystem::weakly_canonical(checkpoints_directory(from));
}

void add_seen(Config& config, const std::vector<std::string>& days) {
  std::string all = config.data.seen;
  for (const auto& more : days)
    if (!more.empty()) all += (all.empty() ? "" : ",") + more;
  config.data.seen = merged_days(all, "data.seen");
}

}  // namespace

void take_resolved(const Config& resolved, Config& config) {
  if (is_named_by(config.train.from, resolved.train.from)) {
    config.train.from = resolved.train.from;
    if (!config.train.from.empty()) add_seen(config, {resolved.data.seen});
  }
  take_buckets(resolved, config);
}

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
  add_seen(config, {origin.data.seen, origin.data.train});
  take_buckets(origin, config);
  VerifiedCheckpoint first = is_run ? choose_checkpoint(comm, {run.string(), "", "", {}})
                                    : VerifiedCheckpoint(comm, config.train.from);
  config.train.from = first.directory();
  return first;
}

}  // namespace lime
