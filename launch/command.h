// The program's commands: each file command_X.cc declares its options (which are its help) and what it does.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "launch/stop_signal.h"
#include "model/config.h"
#include "parallel/process_group.h"

namespace CLI {
class App;
}

namespace lime {

// What the command line asked for: parsing sets `action`, main runs it. Returns the exit code.
struct Job {
  ProcessGroup& group;
  bool verbose = false;
  std::function<int()> action;
};

void add_import_command(CLI::App&, Job&);
void add_generate_command(CLI::App&, Job&);
void add_inspect_command(CLI::App&, Job&);
void add_configure_command(CLI::App&, Job&);
void add_train_command(CLI::App&, Job&);
void add_eval_command(CLI::App&, Job&);
void add_importance_command(CLI::App&, Job&);
void add_predict_command(CLI::App&, Job&);
void add_cache_command(CLI::App&, Job&);
void add_score_command(CLI::App&, Job&);
void add_compare_command(CLI::App&, Job&);
void add_bench_command(CLI::App&, Job&);
void add_bench_ranks_command(CLI::App& bench, Job&);
void add_help_command(CLI::App&, Job&);

// --- shared by commands ------------------------------------------------------------------------
// "--set key=value" options as overrides. Throws UserError where there is no '='.
Overrides parse_overrides(const std::vector<std::string>& settings);
// Adds --set, repeatable.
void add_set_option(CLI::App&, std::vector<std::string>& settings, const std::string& example);
// Adds RUN, --checkpoint and --data, of the commands that read a trained run.
void add_run_options(CLI::App&, std::string& run, std::string& checkpoint, std::string& data);
// Adds --rows, of the commands that evaluate.
void add_rows_option(CLI::App&, std::string& path);
// Adds an option of whole numbers > 0 apart by commas, kept ascending; '' is none. What `sizes` holds is the
// default.
void add_sizes_option(CLI::App&, const std::string& name, std::vector<int64_t>& sizes,
                      const std::string& what);
// A line that is written over itself, on a terminal only; gone once `finished`.
void show_live(const std::string& line, bool finished);
void show_live_share(const std::string& what, double fraction);  // "sorting  42%"
// Shows "scoring 42/1000". The second one gives the work up (Interrupted) where a signal came to this
// process.
std::function<void(int64_t done, int64_t total)> live_count(const std::string& what);
std::function<void(int64_t done, int64_t total)> live_count(const std::string& what, const StopSignal&);
// Collective. Throws UserError naming the option whose file (if one is given) rank 0 could not write where it
// is wanted: before hours of work rather than after them. The directory `made_later` need not be there yet.
void require_places(ProcessGroup&, const std::vector<std::pair<std::string, std::string>>& options,
                    const std::string& made_later = "");
// Import, generate and inspect are one process: throws UserError under mpirun with several ranks.
void require_single_process(const ProcessGroup&, const std::string& command);

}  // namespace lime
