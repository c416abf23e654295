#include "launch/scoring_choices.h"

#include <CLI/CLI.hpp>

#include "launch/evaluator.h"
#include "runtime/error.h"
#include "runtime/log.h"

namespace lime {

void add_scoring_options(CLI::App& command, Job& job, ScoringChoices& choices) {
  add_run_options(command, choices.run.run, choices.run.checkpoint, choices.run.data);
  add_set_option(command, choices.settings, "eval.batch_requests=512");
  command.add_flag("--verbose", job.verbose, "Log lines of all ranks");
}

RunDescription describe_run(Job& job, ScoringChoices& choices) {
  start_logging("lime", job.group.rank(), job.group.size(), job.verbose);
  choices.run.overrides = parse_overrides(choices.settings);
  if (!choices.history.empty()) choices.run.overrides.emplace_back("eval.history", choices.history);
  return {job.group, choices.run};
}

void add_held_out_days_option(CLI::App& command, ScoringChoices& choices) {
  command
      .add_option("--days", choices.days,
                  "2022-05-05..2022-05-08, one day, or several with commas [data.eval]")
      ->type_name("DAYS");
}

std::vector<std::string> held_out_days(const RunDescription& run, const ScoringChoices& choices) {
  const bool given = !choices.days.empty();
  const std::string& text = given ? choices.days : run.config.data.eval;
  if (text.empty())
    throw UserError(
        str("--days: expected the days to evaluate: data.eval of ", choices.run.run, " is empty"));
  const std::string option = given ? "--days" : "data.eval";
  const auto days = run.dataset.select_days(text, option);
  refuse_trained_days(run.config, run.dataset, days, option);
  return days;
}

ScoringProgress live_requests(const ProcessGroup& group, const std::string& what) {
  return group.rank() == 0 ? live_count(what + " requests") : ScoringProgress();
}

}  // namespace lime
