#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iostream>
#include <memory>
#include <thread>
#include <utility>

#include "launch/evaluator.h"
#include "launch/importance/report.h"
#include "launch/option_checks.h"
#include "launch/progress.h"
#include "launch/scoring_choices.h"
#include "runtime/durable_file.h"
#include "runtime/error.h"
#include "runtime/stopwatch.h"
#include "runtime/text.h"

namespace lime {
namespace {

struct Chosen : ScoringChoices {
  std::vector<std::string> features;
  ImportanceOptions options;
  std::string json, html;
};

int run_importance(Job& job, Chosen& choices) {
  require_places(job.group, {{"--json", choices.json}, {"--html", choices.html}});
  RunDescription run = describe_run(job, choices);
  const auto days = held_out_days(run, choices);
  const HistoryMode mode = history_modes(run.config.eval.history).front();
  ImportanceOptions& options = choices.options;
  const auto sets = shuffled_sets(run.config, run.dataset.schema(), choices.features, options.seed);

  TrainedRun trained(job.group, std::move(run));
  const StopSignal signal;
  const Scoring scoring = trained.scoring(&signal);
  options.threads = std::max(1, static_cast<int>(std::thread::hardware_concurrency()) / job.group.size());
  options.begin = [&](const std::string& name, size_t number, size_t passes) {
    return live_requests(job.group, str(number + 1, "/", passes, " ", name, ": scoring"));
  };
  const Stopwatch watch;
  options.end = [&](const std::string& name, size_t number, size_t passes, double auc, double loss) {
    const double left =
        watch.seconds() / static_cast<double>(number + 1) * static_cast<double>(passes - number - 1);
    std::fprintf(stderr, "%zu/%zu %s: AUC %.4f%s%s\n", number + 1, passes, name.c_str(), auc,
                 std::isnan(loss) ? "" : str(", ", grouped(loss, 4), " less").c_str(),
                 number + 1 < passes ? str("  ETA ", format_duration(left)).c_str() : "");
  };
  ImportanceResult result = measure_importance(scoring, days, mode, sets, options);
  if (job.group.rank() != 0) return 0;
  result.run = trained.checkpoint();
  std::cout << trained.checkpoint() << "\n" << to_text(result) << std::flush;
  if (!choices.json.empty()) write_file_atomically(choices.json, to_json(result));
  if (!choices.html.empty()) write_file_atomically(choices.html, to_html(result));
  return 0;
}

}  // namespace

void add_importance_command(CLI::App& app, Job& job) {
  auto& command = *app.add_subcommand("importance", "Say what each feature is worth to a trained model");
  auto chosen = std::make_shared<Chosen>();
  add_scoring_options(command, job, *chosen);
  add_held_out_days_option(command, *chosen);
  command
      .add_option("--features", chosen->features,
                  "What is shuffled, one after the other: history, candidate, user (all of their features), "
                  "a feature\n"
                  "such as user.hour, or several at once: user.hour+user.tab [each side, then each feature]")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->type_name("LIST");
  command
      .add_option(
          "--history", chosen->history,
          "Histories: running (events up to each request) or frozen (events before the first of the days)\n"
          "[the first of eval.history]")
      ->check(one_of({"running", "frozen"}))
      ->type_name("MODE");
  command
      .add_option("--resamples", chosen->options.resamples, "Bootstrap resamples of users; 0: no intervals")
      ->capture_default_str()
      ->check(integer_in(0, 1000000));
  command.add_option("--seed", chosen->options.seed, "Of the shuffles and the bootstrap")
      ->capture_default_str()
      ->check(integer_from(0));
  command.add_option("--json", chosen->json, "Write the results here as well")->type_name("FILE");
  command.add_option("--html", chosen->html, "Write them as a page with charts")->type_name("FILE");
  command.footer(
      "The days are scored once as they are, and once with each feature taken from another row: what AUC,\n"
      "GAUC and NE lose by that is what the model has of the feature (docs/importance.md). It is not "
      "trained\n"
      "again: what another model could do without it, lime compare --set-for tells.\n"
      "Example:\n"
      "  mpirun -np 2 lime importance runs/first --days 2022-05-08 --html importance.html");
  command.callback([&job, chosen] { job.action = [&job, chosen] { return run_importance(job, *chosen); }; });
}

}  // namespace lime
