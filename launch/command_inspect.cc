#include <CLI/CLI.hpp>
#include <filesystem>
#include <iostream>
#include <memory>

#include "io/inspect.h"
#include "launch/command.h"
#include "launch/trained_run.h"
#include "model/checkpoint.h"
#include "model/run_choice.h"
#include "runtime/error.h"
#include "runtime/text.h"

namespace lime {
namespace {

namespace fs = std::filesystem;

std::string describe_run(const std::string& run) {
  const Config config = load_run_config({run, "", "", {}});
  std::string text =
      str("run ", run, ": ", config.model.name, " on ", config.data.path, ", days ", config.data.train, "\n");
  if (!config.train.from.empty())
    text += str("first weights: ", config.train.from, ", trained on ", config.data.seen, "\n");
  const auto checkpoints = list_checkpoints(run);
  if (checkpoints.empty()) return text + "no checkpoint yet\n";
  text += "checkpoints, newest first: " + joined(checkpoints, " ") + "\n";
  return text + describe_checkpoint(checkpoint_directory(run, checkpoints.front()));
}

}  // namespace

void add_inspect_command(CLI::App& app, Job& job) {
  auto& command = *app.add_subcommand("inspect", "Say what a dataset, run or checkpoint directory holds");
  struct Choice {
    std::string path;
    bool verify = false;
  };
  auto chosen = std::make_shared<Choice>();
  command.add_option("path", chosen->path, "Dataset, run or checkpoint directory")
      ->required()
      ->type_name("DIR");
  command.add_flag("--verify", chosen->verify, "Read and check every column of a dataset");
  command.callback([&job, chosen] {
    job.action = [&job, chosen] {
      require_single_process(job.group, "inspect");
      const std::string& path = chosen->path;
      if (fs::exists(path + "/manifest.json")) {
        std::cout << describe_checkpoint(path);
      } else if (fs::exists(config_path(path))) {
        std::cout << describe_run(path);
      } else if (fs::exists(path + "/dataset.yaml")) {
        std::cout << inspect(Dataset::open(path), chosen->verify);
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
