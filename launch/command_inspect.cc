#include <CLI/CLI.hpp>
#include <filesystem>
#include <iostream>
#include <memory>

#include "io/inspect.h"
#include "launch/command.h"
#include "launch/profile_text.h"
#include "launch/run_summary.h"
#include "model/checkpoint.h"
#include "model/run_choice.h"
#include "runtime/error.h"
#include "runtime/text.h"

namespace lime {
namespace fs = std::filesystem;

namespace {

std::string newest_checkpoint(const std::string& run) {
  const auto names = list_checkpoints(run);
  if (names.empty()) throw UserError(str("--digests: ", run, " has no checkpoint yet"));
  return checkpoint_directory(run, names.front());
}

void describe_features(const Dataset& dataset, const std::string& text, const std::string& label) {
  std::vector<std::string> days;
  for (const auto& day : dataset.days()) days.push_back(day.day);
  if (!text.empty()) days = dataset.select_days(text, "--days");
  if (!label.empty()) check_label(dataset.schema(), label, "--label");
  const StopSignal signal;
  std::cout << to_text(profile_features(dataset, days, live_count("reading", signal)), label);
}

}  // namespace

void add_inspect_command(CLI::App& app, Job& job) {
  auto& command = *app.add_subcommand("inspect", "Say what a dataset, run or checkpoint directory holds");
  struct Choice {
    std::string path, days, label;
    bool verify = false, digests = false, features = false;
  };
  auto chosen = std::make_shared<Choice>();
  command.add_option("path", chosen->path, "Dataset, run or checkpoint directory")
      ->required()
      ->type_name("DIR");
  command.add_flag("--verify", chosen->verify, "Read and check every column of a dataset");
  command.add_flag("--digests", chosen->digests,
                   "Of a checkpoint, or a run's newest: a digest of each tensor and table, the same on any "
                   "number of ranks");
  auto& features = *command.add_flag(
      "--features", chosen->features,
      "What each column of a dataset holds, as a model reads it: missing values, different ones,\n"
      "numbers; what it alone says of a label, and whether it gives one away; and the days that are\n"
      "unlike the others");
  command
      .add_option("--days", chosen->days,
                  "With --features: 2022-05-05..2022-05-08, one day, or several with commas [all]")
      ->needs(&features)
      ->type_name("DAYS");
  command.add_option("--label", chosen->label, "With --features: the label of the column AUC [the first]")
      ->needs(&features)
      ->type_name("LABEL");
  command.footer(
      "Examples:\n"
      "  lime inspect data/quickstart --verify\n"
      "  lime inspect data/quickstart --features\n"
      "  lime inspect runs/first\n"
      "  lime inspect runs/first --digests\n"
      "  lime inspect runs/first/checkpoints/step-000002813 --digests");
  command.callback([&job, chosen] {
    job.action = [&job, chosen] {
      require_single_process(job.group, "inspect");
      const std::string& path = chosen->path;
      if (!fs::is_directory(path))
        throw UserError(str(path, fs::exists(path) ? ": is a file" : ": no such directory",
                            ", expected a dataset, run or checkpoint directory"));
      const bool is_checkpoint = fs::exists(path + "/manifest.json"), is_run = fs::exists(config_path(path)),
                 is_dataset = fs::exists(path + "/dataset.yaml");
      if (chosen->digests && is_dataset)
        throw UserError(str("--digests: ", path, " is a dataset, expected a run or a checkpoint"));
      if (chosen->features && (is_checkpoint || is_run))
        throw UserError(str("--features: ", path, " is no dataset"));
      if (chosen->verify && (is_checkpoint || is_run))
        throw UserError(
            str("--verify: ", path, " is no dataset; a checkpoint is verified whenever it is read"));
      if (is_checkpoint) {
        std::cout << (chosen->digests ? describe_checkpoint(path) : summarize_checkpoint(path));
      } else if (is_run) {
        std::cout << (chosen->digests ? describe_checkpoint(newest_checkpoint(path)) : summarize_run(path));
      } else if (is_dataset) {
        const Dataset dataset = Dataset::open(path);
        if (chosen->features)
          describe_features(dataset, chosen->days, chosen->label);
        else
          std::cout << inspect(dataset, chosen->verify);
      } else {
        throw UserError(str(path,
                            ": found no dataset.yaml, config.yaml or manifest.json, expected a dataset, run "
                            "or checkpoint directory"));
      }
      return 0;
    };
  });
}

}  // namespace lime
