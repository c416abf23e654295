// RUN/best.json: which of a run's checkpoints is the best so far, and by what (config.train.best).
// docs/run_directory.md.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace lime {

struct BestRecord {
  std::string checkpoint;         // name under RUN/checkpoints
  std::string metric;             // "click.auc"
  std::string history;            // of the held-out requests: "running"
  std::vector<std::string> days;  // held out
  double value = 0;
  friend bool operator==(const BestRecord&, const BestRecord&) = default;
};

std::string best_path(const std::string& run_directory);

// Nothing where the run has no such file. Throws UserError where it is damaged.
std::optional<BestRecord> read_best(const std::string& run_directory);

// The file has the old record or the new one at any moment. Throws UserError where it cannot be written.
void write_best(const std::string& run_directory, const BestRecord&);
void remove_best(const std::string& run_directory);

}  // namespace lime
