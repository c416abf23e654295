// Trains the runs of a comparison, each as a process of its own (`lime train`), and says how far they are.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "launch/compare/plan.h"

namespace lime {

struct RunnerOptions {
  int64_t ranks = 1;                // > 1: each run under `launcher` -np RANKS
  int64_t jobs = 1;                 // runs at a time
  std::string launcher = "mpirun";  // may hold options: words apart by spaces
  std::string program;              // lime
};

struct RunFailure {
  std::string run;     // "hstu-1"
  std::string reason;  // its error line, or how it ended
  std::string log;
};

struct RunnerOutcome {
  std::vector<RunFailure> failures;
  bool stopped = false;  // by SIGINT or SIGTERM: runs under way have written a checkpoint
};

// Runs that are complete are left alone, those that were interrupted go on, others start. One that fails is
// told at once, and the others go on. On a signal runs are asked to stop, and no further one starts. Progress
// goes to stderr: on a terminal a live line, else a line a run.
RunnerOutcome train_runs(const ComparisonPlan&, const RunnerOptions&);

// The words that start (or, where there is something to go on with, resume) a run.
std::vector<std::string> train_command(const ComparisonPlan&, const ComparisonRun&, const RunnerOptions&);

// What the last progress line of a run's output says: steps done and in all (0: not known).
struct RunProgress {
  int64_t step = 0, total = 0;
};
std::optional<RunProgress> last_progress(const std::string& output);
// The last "lime: error: " line of a run's output without that, or "".
std::string last_error(const std::string& output);

// Seconds until all runs are done, `jobs` at a time; < 0: not known yet. A run takes as long as finished ones
// of its entry did on average; of an entry without any, as one under way will by its progress; else as the
// average of all.
class RemainingTime {
 public:
  explicit RemainingTime(size_t entries) : entries_(entries) {}
  void finished(size_t entry, double seconds);
  struct UnderWay {
    size_t entry;
    double seconds, fraction;  // so far
  };
  double estimate(const std::vector<UnderWay>&, const std::vector<size_t>& waiting_entries,
                  int64_t jobs) const;

 private:
  struct Durations {
    double sum = 0;
    int64_t runs = 0;
  };
  std::vector<Durations> entries_;
};

}  // namespace lime
