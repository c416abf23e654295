#include <CLI/CLI.hpp>
#include <iomanip>
#include <iostream>
#include <memory>

#include "launch/command.h"
#include "launch/option_checks.h"
#include "launch/score_requests.h"
#include "runtime/error.h"
#include "runtime/log.h"

namespace lime {
namespace {

struct Choices {
  ScoreRequestsOptions options;
  std::string history = "running", missing = "score";
};

int run_score(Job& job, Choices& choices) {
  require_single_process(job.group, "score");
  require_places(job.group, {{"--out", choices.options.out}});
  start_logging("lime", 0, 1, job.verbose);
  auto& options = choices.options;
  if (options.days.starts_with("days/")) options.days.erase(0, 5);  // as the directory is called
  options.history = history_modes(choices.history).front();
  options.scorer.missing = choices.missing == "refuse" ? MissingItems::refuse : MissingItems::score;
  const StopSignal signal;
  const ScoreRequestsReport r = score_requests(options, live_count("scoring", signal));
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

void add_score_command(CLI::App& app, Job& job) {
  auto& command =
      *app.add_subcommand("score", "Score many candidates for each request of some days, and keep the best");
  auto chosen = std::make_shared<Choices>();
  auto& options = chosen->options;
  add_run_options(command, options.scorer.run, options.scorer.checkpoint, options.scorer.data);
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
      ->check(integer_from(0))
      ->capture_default_str()
      ->type_name("K");
  command.add_option("--top", options.top, "Best candidates to keep; 0: all")
      ->check(integer_from(0))
      ->capture_default_str()
      ->type_name("N");
  command.add_option("--task", options.task, "Label to rank by [the first]")->type_name("LABEL");
  command
      .add_option("--missing", chosen->missing,
                  "Candidates that the cache lacks: score without it, and count; or refuse")
      ->check(one_of({"score", "refuse"}))
      ->capture_default_str()
      ->type_name("WHAT");
  command.add_option("--out", options.out, "Write the best candidates and their scores here (HDF5)")
      ->type_name("FILE");
  command
      .add_option("--history", chosen->history,
                  "Histories: running (events up to each request), frozen (before the first of the days), "
                  "none (empty)")
      ->check(one_of({"running", "frozen", "none"}))
      ->capture_default_str()
      ->type_name("MODE");
  command.add_option("--threads", options.threads, "Threads that score requests at once")
      ->check(integer_from(1))
      ->capture_default_str()
      ->type_name("N");
  command.add_flag("--verbose", job.verbose, "More log lines");
  command.footer(
      "Example:\n"
      "  lime score runs/first --cache cache.h5 --requests 2022-05-08 --candidates 4096 --top 20 \\\n"
      "      --out best.h5");
  command.callback([&job, chosen] { job.action = [&job, chosen] { return run_score(job, *chosen); }; });
}

}  // namespace lime
