// The program from outside: runs `lime` (or another command) as a user would, and keeps what it said.
#pragma once

#include <string>
#include <vector>

namespace lime {

struct Outcome {
  int exit_code = 0;
  std::string out, err;
  double seconds = 0;

  std::vector<std::string> error_lines() const;  // lines of err that hold "lime: error: "
};

// Through the shell, with no standard input.
Outcome run_command(const std::string& command);
Outcome lime_program(const std::string& arguments);                // without mpirun
Outcome lime_program_on(int ranks, const std::string& arguments);  // under mpirun
// The command of such a job, one rank of which first does what `shell` says (no quotes in it, nor in the
// arguments). One program to mpirun: that of Debian 13 crashes where it is given several.
std::string lime_job_with_one_rank(int ranks, int rank, const std::string& shell,
                                   const std::string& arguments);

// Expects one line of error that says so, and exit code 2.
void expect_mistake(const std::string& arguments, const std::string& says);

// A log that `lime generate` makes: from 2024-01-01 on, 50 items, 3 candidates a request,
// histories of up to 40 events. Throws Error where it cannot.
struct SmallLog {
  int users = 60, requests = 3, parts = 4, days = 3;  // requests of a user a day
};
void generate_log(const std::string& directory, const SmallLog& = {});
// Its columns as features, and their tables: a part of a configuration.
extern const char* const small_log_features;

// What `lime inspect --digests` says of a checkpoint: where the run stood, and a digest of each tensor and
// table.
std::string checkpoint_digests(const std::string& directory);

// What a run directory's evaluation says of its first task, over all held-out days.
double held_out_auc(const std::string& run);

}  // namespace lime
