#include <CLI/CLI.hpp>
#include <filesystem>
#include <iomanip>
#include <iostream>
#include <memory>

#include "launch/command.h"
#include "launch/option_checks.h"
#include "runtime/log.h"
#include "runtime/stopwatch.h"
#include "serving/build_item_cache.h"

namespace lime {
namespace {

struct Choices {
  RunChoice run;
  std::string items, out, type = "f32";
};

int run_cache_build(Job& job, const Choices& choices) {
  require_single_process(job.group, "cache build");
  require_places(job.group, {{"--out", choices.out}});
  start_logging("lime", 0, 1, job.verbose);
  const Stopwatch watch;
  const ServedModel model(choices.run);
  const auto ids = items_to_cache(model, choices.items);
  const StopSignal signal;
  build_item_cache(model, ids, choices.items, parse_row_type(choices.type), choices.out,
                   live_count("caching items", signal));
  std::cout << "wrote " << choices.out << ": " << ids.size() << " items of " << model.checkpoint() << ", "
            << choices.type << ", " << std::fixed << std::setprecision(1)
            << static_cast<double>(std::filesystem::file_size(choices.out)) / 1e6 << " MB, "
            << watch.seconds() << " s\n";
  return 0;
}

}  // namespace

void add_cache_command(CLI::App& app, Job& job) {
  auto& cache = *app.add_subcommand("cache", "Item caches for lime score and the Scorer");
  cache.require_subcommand(1);
  auto& command = *cache.add_subcommand(
      "build", "Compute what each item brings to a score, whatever the request (lime_mha, lime_xor)");
  auto chosen = std::make_shared<Choices>();
  add_run_options(command, chosen->run.run, chosen->run.checkpoint, chosen->run.data);
  command.add_option("--out", chosen->out, "HDF5 file to write")->required()->type_name("FILE");
  command
      .add_option("--items", chosen->items,
                  "Items to cache, with their features, as items.h5 of a dataset [the dataset's; "
                  "without one, all items that the model has an embedding for]")
      ->type_name("FILE");
  command
      .add_option(
          "--type", chosen->type,
          "How values are stored: f32, f16, or int8 with two scales a row (docs/scoring.md has the errors)")
      ->check(one_of({"f32", "f16", "int8"}))
      ->capture_default_str()
      ->type_name("TYPE");
  command.add_flag("--verbose", job.verbose, "More log lines");
  command.footer(
      "Example:\n"
      "  lime cache build runs/first --type int8 --out cache.h5");
  command.callback([&job, chosen] { job.action = [&job, chosen] { return run_cache_build(job, *chosen); }; });
}

}  // namespace lime
