// What lime eval and lime predict ask for alike: a trained run, and what to score its requests with.
#pragma once

#include <string>
#include <vector>

#include "launch/command.h"
#include "launch/scoring.h"
#include "launch/trained_run.h"
#include "model/run_choice.h"

namespace lime {

struct ScoringChoices {
  RunChoice run;
  std::vector<std::string> settings;
  std::string days, history;
};

// Adds RUN, --checkpoint, --data, --set and --verbose.
void add_scoring_options(CLI::App&, Job&, ScoringChoices&);

inline constexpr const char* history_help =
    "Histories: running (events up to each request), frozen (events before the first of the days), "
    "none (empty), stranger (another user's)";

// Starts logging, and reads what there is of the run but its weights. Collective.
RunDescription describe_run(Job&, ScoringChoices&);

// Adds --days, of the commands that evaluate.
void add_held_out_days_option(CLI::App&, ScoringChoices&);
// The days that it names, data.eval of the run without it. Throws UserError where there are none, or where the
// model was trained on some.
std::vector<std::string> held_out_days(const RunDescription&, const ScoringChoices&);

// Requests done, on rank 0's terminal.
ScoringProgress live_requests(const ProcessGroup&, const std::string& what);

}  // namespace lime
