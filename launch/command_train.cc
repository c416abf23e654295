#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>

#include "launch/command.h"
#include "launch/number_features.h"
#include "launch/same_everywhere.h"
#include "launch/trainer.h"
#include "model/run_choice.h"
#include "parallel/communicator.h"
#include "runtime/error.h"
#include "runtime/log.h"

namespace lime {
namespace {

struct Train {
  std::string config, out, resume, from, trace, rows;
  std::vector<std::string> settings;
};

// runs/NAME-1, -2, ...: the first that is not there. Rank 0 looks, all take it.
std::string next_run_directory(ProcessGroup& group, const std::string& config) {
  const std::string stem = "runs/" + std::filesystem::path(config).stem().string() + "-";
  int64_t number = 1;
  while (group.rank() == 0 && std::filesystem::exists(stem + std::to_string(number))) ++number;
  return stem +
         std::to_string(all_gather_values(group.world(), std::span<const int64_t>(&number, 1)).front());
}

// What else is given in the place of a configuration.
void refuse_directory(const std::string& path) {
  if (std::filesystem::exists(config_path(path)))
    throw UserError(
        str(path, ": is a run, expected a YAML file; to go on with it: lime train --resume ", path));
  if (std::filesystem::exists(path + "/dataset.yaml"))
    throw UserError(str(path, ": is a dataset, expected a YAML file; to have one of it: lime configure ",
                        path, " --out CONFIG.yaml"));
}

int run(Job& job, const Train& chosen) {
  const bool resume = !chosen.resume.empty();
  if (resume == !chosen.config.empty())
    throw UserError("lime train: expected either a configuration file or --resume DIR (lime train --help)");
  if (resume && !chosen.out.empty())
    throw UserError("--out: a resumed run goes on in its own directory; expected --resume DIR alone");
  if (resume && !chosen.from.empty())
    throw UserError("--from: a resumed run has its own weights; expected --resume DIR alone");
  TrainOptions options;
  options.resume = resume;
  options.verbose = job.verbose;
  options.trace_path = chosen.trace;
  options.rows_path = chosen.rows;
  Overrides settings = parse_overrides(chosen.settings);
  if (!chosen.from.empty()) settings.emplace_back("train.from", chosen.from);
  Config config = load_everywhere(job.group, [&] {
    if (resume && !std::filesystem::exists(config_path(chosen.resume)))
      throw UserError(str("--resume: ", chosen.resume, " is not a run directory (it has no config.yaml)"));
    if (!resume) refuse_directory(chosen.config);
    Config loaded = load_config(resume ? config_path(chosen.resume) : chosen.config, settings);
    // The settings that the run began with may be given again, as by a job script.
    if (resume) take_resolved(load_config(config_path(chosen.resume), {}), loaded);
    return loaded;
  });
  options.run_directory = resume                ? chosen.resume
                          : !chosen.out.empty() ? chosen.out
                                                : next_run_directory(job.group, chosen.config);
  if (!options.rows_path.empty() && config.data.eval.empty())
    throw UserError("--rows: data.eval is empty, expected held-out days whose rows are to be written");
  require_places(job.group, {{"--trace", options.trace_path}, {"--rows", options.rows_path}},
                 options.run_directory);
  if (!resume && !config.train.from.empty())
    options.first_weights = resolve_first_weights(job.group.world(), config);
  if (!resume) config = make_once(job.group, [&] { return with_buckets(config); });
  start_logging("lime", job.group.rank(), job.group.size(), job.verbose);
  return train(job.group, config, options);
}

}  // namespace

void add_train_command(CLI::App& app, Job& job) {
  auto& command = *app.add_subcommand("train", "Train a model; under mpirun on several ranks");
  auto chosen = std::make_shared<Train>();
  command.add_option("config", chosen->config, "YAML file, as in configs/ (all keys: lime help config)")
      ->type_name("FILE");
  command.add_option("--out", chosen->out, "Run directory to make [runs/CONFIG-1, -2, ...]")
      ->type_name("DIR");
  command
      .add_option("--resume", chosen->resume,
                  "Go on with this run from its newest good checkpoint, on any number of ranks up to "
                  "train.micro_batches")
      ->type_name("DIR");
  command
      .add_option(
          "--from", chosen->from,
          "Begin with the weights and table rows of this run, or of one of its checkpoints, on other days "
          "for instance (sets train.from)")
      ->type_name("DIR");
  add_set_option(command, chosen->settings, "train.epochs=2");
  command.add_option("--trace", chosen->trace, "Write a Chrome trace (Perfetto) of rank 0")
      ->type_name("FILE");
  add_rows_option(command, chosen->rows);
  command.add_flag("--verbose", job.verbose, "Log lines of all ranks");
  command.footer(
      "A run directory holds config.yaml (every key, resolved), environment.json, metrics.jsonl, "
      "tensorboard/ and\n"
      "checkpoints/. SIGTERM, SIGINT or SIGUSR1 finishes the step, or leaves the evaluation,\n"
      "checkpoints and exits with 0, a second one ends it at once; an mpirun is sent SIGUSR1,\n"
      "which it passes on.\n"
      "Examples:\n"
      "  mpirun -np 2 lime train configs/kuairand.yaml --set data.train=2022-04-25..2022-05-04 --out "
      "runs/first\n"
      "  mpirun -np 2 lime train --resume runs/first --set train.epochs=2\n"
      "  mpirun -np 2 lime train configs/kuairand.yaml --from runs/first --set data.train=2022-05-05 "
      "--set data.eval= --out "
      "runs/next-day");
  command.callback([&job, chosen] { job.action = [&job, chosen] { return run(job, *chosen); }; });
}

}  // namespace lime
