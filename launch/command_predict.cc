#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <utility>

#include "launch/option_checks.h"
#include "launch/predict.h"
#include "launch/scoring_choices.h"
#include "runtime/error.h"
#include "runtime/text.h"

namespace lime {
namespace {

struct Predict : ScoringChoices {
  std::string out;
};

int run_predict(Job& job, Predict& choices) {
  require_places(job.group, {{"--out", choices.out}});
  RunDescription run = describe_run(job, choices);
  const auto days = run.dataset.select_days(choices.days, "--days");
  const auto modes = history_modes(run.config.eval.history);
  if (modes.size() != 1)
    throw UserError(str("--history: found ", run.config.eval.history, ", expected one mode"));
  TrainedRun trained(job.group, std::move(run));
  const StopSignal signal;
  const Scoring scoring = trained.scoring(&signal);
  predict(scoring, days, modes.front(), choices.out, live_requests(job.group, "scoring"));
  if (job.group.rank() == 0) {
    int64_t requests = 0, candidates = 0;
    for (const auto& day : days) {
      requests += scoring.dataset.day(day).requests;
      candidates += scoring.dataset.day(day).candidates;
    }
    std::cout << "wrote " << choices.out << ": " << grouped(candidates) << " candidates of "
              << grouped(requests) << " requests (" << trained.checkpoint() << ")\n";
  }
  return 0;
}

}  // namespace

void add_predict_command(CLI::App& app, Job& job) {
  auto& command =
      *app.add_subcommand("predict", "Write the scores of every candidate of some days to an HDF5 file");
  auto chosen = std::make_shared<Predict>();
  add_scoring_options(command, job, *chosen);
  command.add_option("--days", chosen->days, "2022-05-05..2022-05-08, one day, or several with commas")
      ->required()
      ->type_name("DAYS");
  command.add_option("--out", chosen->out, "HDF5 file to write")->required()->type_name("FILE");
  chosen->history = "running";
  command.add_option("--history", chosen->history, history_help)
      ->capture_default_str()
      ->check(one_of({"running", "frozen", "none", "stranger"}))
      ->type_name("MODE");
  command.footer(
      "Scores are written as they come: memory does not grow with the days.\n"
      "Example:\n"
      "  lime predict runs/first --days 2022-05-08 --out scores.h5");
  command.callback([&job, chosen] { job.action = [&job, chosen] { return run_predict(job, *chosen); }; });
}

}  // namespace lime
