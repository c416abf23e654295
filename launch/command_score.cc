#include <CLI/CLI.hpp>
#include <chrono>
#include <filesystem>
#include <iomanip>
#include <iostream>
#include <memory>

#include "launch/command.h"
#include "launch/score_requests.h"
#include "runtime/error.h"
#include "runtime/log.h"
#include "serving/build_item_cache.h"

namespace lime {
namespace {

// A live count on the terminal.
std::function<void(int64_t, int64_t)> live_progress(const char* what) {
  return [what](int64_t done, int64_t total) { show_live(str(what, " ", done, "/", total), done >= total); };
}

struct CacheChoices {
  RunChoice run;
  std::string items, out, type = "f32";
};

int run_cache_build(Job& job, const CacheChoices& choices) {
  require_single_process(job.group, "cache build");
  require_places(job.group, {{"--out", choices.out}});
  start_logging("lime", 0, 1, job.verbose);
  const auto begin = std::chrono::steady_clock::now();
  const ServedModel model(choices.run);
  const auto ids = items_to_cache(model, choices.items);
  build_item_cache(model, ids, choices.items, parse_row_type(choices.type), choices.out,
                   live_progress("caching items"));
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  std::cout << "wrote " << choices.out << ": " << ids.size() << " items of " << model.checkpoint() << ", "
            << choices.type << ", " << std::fixed << std::setprecision(1)
            << static_cast<double>(std::filesystem::file_size(choices.out)) / 1e6 << " MB, " << seconds
            << " s\n";
  return 0;
}

struct ScoreChoices {
  ScoreRequestsOptions options;
  std::string history = "running", missing = "score";
};

int run_score(Job& job, ScoreChoices& choices) {
  require_single_process(job.group, "score");
  require_places(job.group, {{"--out", choices.options.out}});
  start_logging("lime", 0, 1, job.verbose);
  auto& options = choices.options;
  if (options.days.starts_with("days/")) options.days.erase(0, 5);  // as the directory is called
  options.history = history_modes(choices.history).front();
  options.scorer.missing = choices.missing == "refuse" ? MissingItems::refuse : MissingItems::score;
  const ScoreRequestsReport r = score_requests(options, live_progress("scoring"));
  std::cout << std::fixed << r.requests << " requests (" << r.without_history << " without history), "
            << r.candidates << " candidates: " << r.counts.cached << " from the cache, " << r.counts.uncached
            << " without it\n"
            << std::setprecision(3) << "a request: median " << r.latency.median_ms << " ms, p99 "
            << r.latency.p99_ms << " ms; in all " << std::setprecision(1) << r.seconds << " s with "
            << options.threads << (options.threads == 1 ? " thread" : " threads") << "\n";
  if (!options.out.empty()) std::cout << "wrote " << options.out << "\n";
  return 0;
}

}  // namespace

void add_cache_command(CLI::App& app, Job& job) {
  auto& cache = *app.add_subcommand("cache", "Item caches for lime score and the Scorer");
  cache.require_subcommand(1);
  auto& command = *cache.add_subcommand(
      "build", "Compute what each item brings to a score, whatever the request (lime_mha, lime_xor)");
  auto chosen = std::make_shared<CacheChoices>();
  command.add_option("run", chosen->run.run, "Run directory of lime train")->required()->type_name("RUN");
  command.add_option("--out", chosen->out, "HDF5 file to write")->required()->type_name("FILE");
  command
      .add_option("--items", chosen->items,
                  "Items to cache, with their features, as items.h5 of a dataset [the dataset's; without "
                  "one, all items "
                  "that the model has an embedding for]")
      ->type_name("FILE");
  command
      .add_option(
          "--type", chosen->type,
          "How values are stored: f32, f16, or int8 with two scales a row (docs/scoring.md has the errors)")
      ->check(CLI::IsMember({"f32", "f16", "int8"}))
      ->capture_default_str()
      ->type_name("TYPE");
  command
      .add_option("--checkpoint", chosen->run.checkpoint, "Name under RUN/checkpoints [the newest good one]")
      ->type_name("NAME");
  command.add_option("--data", chosen->run.data, "Dataset in place of the run's")->type_name("DIR");
  command.add_flag("--verbose", job.verbose, "More log lines");
  command.footer("Example:\n  lime cache build runs/first --type int8 --out cache.h5");
  command.callback([&job, chosen] { job.action = [&job, chosen] { return run_cache_build(job, *chosen); }; });
}

void add_score_command(CLI::App& app, Job& job) {
  auto& command =
      *app.add_subcommand("score", "Score many candidates for each request of some days, and keep the best");
  auto chosen = std::make_shared<ScoreChoices>();
  auto& options = chosen->options;
  command.add_option("run", options.scorer.run, "Run directory of lime train")->required()->type_name("RUN");
  command
      .add_option("--requests", options.days,
                  "Days of requests: 2022-05-05..2022-05-08, one day, or several with commas")
      ->required()
      ->type_name("DAYS");
  command
      .add_option("--cache", options.scorer.cache,
                  "Item cache of lime cache build [none: items are computed]")
      ->type_name("FILE");
  command
      .add_option("--candidates", options.candidates,
                  "Candidates a request beside those it showed: a sample of the cached items, drawn by the "
                  "run's seed")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str()
      ->type_name("K");
  command.add_option("--top", options.top, "Best candidates to keep; 0: all")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str()
      ->type_name("N");
  command.add_option("--task", options.task, "Label to rank by [the first]")->type_name("LABEL");
  command
      .add_option("--missing", chosen->missing,
                  "Candidates that the cache lacks: score without it, and count; or refuse")
      ->check(CLI::IsMember({"score", "refuse"}))
      ->capture_default_str()
      ->type_name("WHAT");
  command.add_option("--out", options.out, "Write the best candidates and their scores here (HDF5)")
      ->type_name("FILE");
  command
      .add_option("--history", chosen->history,
                  "Histories: running (events up to each request), frozen (before the first of the days), "
                  "none (empty)")
      ->check(CLI::IsMember({"running", "frozen", "none"}))
      ->capture_default_str()
      ->type_name("MODE");
  command.add_option("--threads", options.threads, "Threads that score requests at once")
      ->check(CLI::PositiveNumber)
      ->capture_default_str()
      ->type_name("N");
  command
      .add_option("--checkpoint", options.scorer.checkpoint,
                  "Name under RUN/checkpoints [the newest good one]")
      ->type_name("NAME");
  command.add_option("--data", options.scorer.data, "Dataset in place of the run's")->type_name("DIR");
  command.add_flag("--verbose", job.verbose, "More log lines");
  command.footer(
      "Example:\n  lime score runs/first --cache cache.h5 --requests 2022-05-08 --candidates 4096 --top 20 "
      "--out best.h5");
  command.callback([&job, chosen] { job.action = [&job, chosen] { return run_score(job, *chosen); }; });
}

}  // namespace lime
