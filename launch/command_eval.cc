#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <utility>

#include "launch/eval_report.h"
#include "launch/evaluator.h"
#include "launch/option_checks.h"
#include "launch/scoring_choices.h"
#include "runtime/durable_file.h"
#include "runtime/error.h"

namespace lime {
namespace {

struct Eval : ScoringChoices {
  std::string json, rows;
};

int run_eval(Job& job, Eval& choices) {
  require_places(job.group, {{"--json", choices.json}, {"--rows", choices.rows}});
  RunDescription run = describe_run(job, choices);
  const auto days = held_out_days(run, choices);
  TrainedRun trained(job.group, std::move(run));
  const StopSignal signal;
  const Scoring scoring = trained.scoring(&signal);
  const auto results = evaluate_modes(scoring, days, choices.rows, live_requests(job.group, "evaluating"));
  if (job.group.rank() != 0) return 0;
  std::cout << trained.checkpoint() << "\n" << to_table(results);
  if (!choices.json.empty()) write_file_atomically(choices.json, to_json(results, trained.checkpoint_name()));
  return 0;
}

}  // namespace

void add_eval_command(CLI::App& app, Job& job) {
  auto& command = *app.add_subcommand("eval", "Evaluate a trained model on held-out days");
  auto chosen = std::make_shared<Eval>();
  add_scoring_options(command, job, *chosen);
  add_held_out_days_option(command, *chosen);
  command
      .add_option("--history", chosen->history,
                  str(history_help, ", both (running, then frozen) [eval.history]"))
      ->check(one_of({"running", "frozen", "both", "none", "stranger"}))
      ->type_name("MODE");
  command.add_option("--json", chosen->json, "Write the results here as well")->type_name("FILE");
  add_rows_option(command, chosen->rows);
  command.footer(
      "Days that the model was trained on are refused. Metrics are exact, which takes memory: 64 to 96\n"
      "bytes on rank 0 for every candidate of the days (docs/metrics.md).\n"
      "Example:\n"
      "  mpirun -np 2 lime eval runs/first --days 2022-05-05..2022-05-08 --history both");
  command.callback([&job, chosen] { job.action = [&job, chosen] { return run_eval(job, *chosen); }; });
}

}  // namespace lime
