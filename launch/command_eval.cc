#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "launch/command.h"
#include "launch/eval_report.h"
#include "launch/evaluator.h"
#include "launch/predict.h"
#include "launch/trained_run.h"
#include "runtime/durable_file.h"
#include "runtime/error.h"
#include "runtime/log.h"

namespace lime {
namespace {

struct Choices {
  RunChoice run;
  std::vector<std::string> settings;
  std::string days, history, json, rows, out;
};

void add_run_options(CLI::App& command, Job& job, Choices& choices) {
  command.add_option("run", choices.run.run, "Run directory of lime train")->required()->type_name("RUN");
  command
      .add_option("--checkpoint", choices.run.checkpoint, "Name under RUN/checkpoints [the newest good one]")
      ->type_name("NAME");
  command.add_option("--data", choices.run.data, "Dataset in place of the run's")->type_name("DIR");
  add_set_option(command, choices.settings);
  command.add_flag("--verbose", job.verbose, "Log lines of all ranks");
}

TrainedRun open_run(Job& job, Choices& choices) {
  start_logging("lime", job.group.rank(), job.group.size(), job.verbose);
  choices.run.overrides = parse_overrides(choices.settings);
  if (!choices.history.empty()) choices.run.overrides.emplace_back("eval.history", choices.history);
  return TrainedRun(job.group, choices.run);
}

// Requests done, on rank 0's terminal.
ScoringProgress live_requests(const ProcessGroup& group, const std::string& what) {
  return group.rank() == 0 ? live_count(what + " requests") : ScoringProgress();
}

int run_eval(Job& job, Choices& choices) {
  require_places(job.group, {{"--json", choices.json}, {"--rows", choices.rows}});
  TrainedRun trained = open_run(job, choices);
  const Config& config = trained.config();
  const std::string& text = choices.days.empty() ? config.data.eval : choices.days;
  if (text.empty())
    throw UserError(
        str("--days: expected the days to evaluate: data.eval of ", choices.run.run, " is empty"));
  const auto days = trained.dataset().select_days(text, choices.days.empty() ? "data.eval" : "--days");
  refuse_trained_days(config, trained.dataset(), days);
  const auto results =
      evaluate_modes(trained.scoring(), days, choices.rows, live_requests(job.group, "evaluating"));
  if (job.group.rank() != 0) return 0;
  std::cout << trained.checkpoint() << "\n" << to_table(results);
  if (!choices.json.empty()) write_file_atomically(choices.json, to_json(results));
  return 0;
}

int run_predict(Job& job, Choices& choices) {
  require_places(job.group, {{"--out", choices.out}});
  TrainedRun trained = open_run(job, choices);
  const Config& config = trained.config();
  const auto days = trained.dataset().select_days(choices.days, "--days");
  const auto modes = history_modes(config.eval.history);
  if (modes.size() != 1)
    throw UserError(str("--history: found ", config.eval.history, ", expected one mode"));
  predict(trained.scoring(), days, modes.front(), choices.out, live_requests(job.group, "scoring"));
  if (job.group.rank() == 0) std::cout << "wrote " << choices.out << " (" << trained.checkpoint() << ")\n";
  return 0;
}

const char* const history_help =
    "Histories: running (events up to each request), frozen (events before the first of the days), "
    "none (empty), stranger (another user's)";

}  // namespace

void add_eval_command(CLI::App& app, Job& job) {
  auto& command = *app.add_subcommand("eval", "Evaluate a trained model on held-out days");
  auto chosen = std::make_shared<Choices>();
  add_run_options(command, job, *chosen);
  command
      .add_option("--days", chosen->days,
                  "2022-05-05..2022-05-08, one day, or several with commas [data.eval]")
      ->type_name("DAYS");
  command
      .add_option("--history", chosen->history,
                  str(history_help, ", both (running, then frozen) [eval.history]"))
      ->check(CLI::IsMember({"running", "frozen", "both", "none", "stranger"}))
      ->type_name("MODE");
  command.add_option("--json", chosen->json, "Write the results here as well")->type_name("FILE");
  add_rows_option(command, chosen->rows);
  command.footer(
      "Days that the model was trained on are refused. Metrics are exact, which takes memory: 48 to 72\n"
      "bytes on rank 0 for every candidate of the days (docs/metrics.md).\n"
      "Example:\n"
      "  mpirun -np 2 lime eval runs/first --days 2022-05-05..2022-05-08 --history both");
  command.callback([&job, chosen] { job.action = [&job, chosen] { return run_eval(job, *chosen); }; });
}

void add_predict_command(CLI::App& app, Job& job) {
  auto& command =
      *app.add_subcommand("predict", "Write the scores of every candidate of some days to an HDF5 file");
  auto chosen = std::make_shared<Choices>();
  add_run_options(command, job, *chosen);
  command.add_option("--days", chosen->days, "2022-05-05..2022-05-08, one day, or several with commas")
      ->required()
      ->type_name("DAYS");
  command.add_option("--out", chosen->out, "HDF5 file to write")->required()->type_name("FILE");
  chosen->history = "running";
  command.add_option("--history", chosen->history, history_help)
      ->capture_default_str()
      ->check(CLI::IsMember({"running", "frozen", "none", "stranger"}))
      ->type_name("MODE");
  command.footer(
      "Scores are written as they come: memory does not grow with the days.\n"
      "Example:\n"
      "  lime predict runs/first --days 2022-05-08 --out scores.h5");
  command.callback([&job, chosen] { job.action = [&job, chosen] { return run_predict(job, *chosen); }; });
}

}  // namespace lime
