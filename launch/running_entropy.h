// Normalised entropy of a run so far: weighted log loss over the weighted entropy of the base rates, summed
// over tasks with their weights. Steps are counted before their update, so it is an estimate for unseen data.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "launch/train_step.h"
#include "model/config.h"

namespace lime {

class RunningEntropy {
 public:
  explicit RunningEntropy(const std::vector<TaskConfig>& tasks) : tasks_(tasks), sums_(tasks.size()) {}

  // A step's weights and labels summed over its batch, by task.
  void add(const StepOutcome&, const std::vector<double>& weights, const std::vector<double>& labels);
  double value() const;  // NaN before there is anything to divide by

  // To and from a checkpoint (TrainState::extra), so that "so far" means the run and not the job.
  void save(std::map<std::string, double>& extra) const;
  void restore(const std::map<std::string, double>& extra);

 private:
  struct Sums {
    double loss = 0, weight = 0, labels = 0;
  };
  const std::vector<TaskConfig>& tasks_;
  std::vector<Sums> sums_;
};

}  // namespace lime
