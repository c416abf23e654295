#include "launch/scoring_choices.h"

#include <CLI/CLI.hpp>

#include "runtime/log.h"

namespace lime {

void add_scoring_options(CLI::App& command, Job& job, ScoringChoices& choices) {
  add_run_options(command, choices.run.run, choices.run.checkpoint, choices.run.data);
  add_set_option(command, choices.settings);
  command.add_flag("--verbose", job.verbose, "Log lines of all ranks");
}

RunDescription describe_run(Job& job, ScoringChoices& choices) {
  start_logging("lime", job.group.rank(), job.group.size(), job.verbose);
  choices.run.overrides = parse_overrides(choices.settings);
  if (!choices.history.empty()) choices.run.overrides.emplace_back("eval.history", choices.history);
  return {job.group, choices.run};
}

ScoringProgress live_requests(const ProcessGroup& group, const std::string& what) {
  return group.rank() == 0 ? live_count(what + " requests") : ScoringProgress();
}

}  // namespace lime
