#include "launch/running_entropy.h"

#include <limits>

#include "launch/metrics.h"

namespace lime {

void RunningEntropy::add(const StepOutcome& outcome, const std::vector<double>& weights,
                         const std::vector<double>& labels) {
  for (size_t k = 0; k < sums_.size(); ++k) {
    sums_[k].loss += outcome.task_loss[k] * weights[k];
    sums_[k].weight += weights[k];
    sums_[k].labels += labels[k];
  }
}

double RunningEntropy::value() const {
  double loss = 0, base = 0;
  for (size_t k = 0; k < sums_.size(); ++k) {
    if (sums_[k].weight <= 0) continue;
    loss += tasks_[k].weight * sums_[k].loss / sums_[k].weight;
    base += tasks_[k].weight * entropy(sums_[k].labels / sums_[k].weight);
  }
  return base > 0 ? loss / base : std::numeric_limits<double>::quiet_NaN();
}

void RunningEntropy::save(std::map<std::string, double>& extra) const {
  for (size_t k = 0; k < sums_.size(); ++k) {
    extra["entropy.loss." + tasks_[k].label] = sums_[k].loss;
    extra["entropy.weight." + tasks_[k].label] = sums_[k].weight;
    extra["entropy.labels." + tasks_[k].label] = sums_[k].labels;
  }
}

void RunningEntropy::restore(const std::map<std::string, double>& extra) {
  const auto value = [&](const std::string& name) {
    const auto found = extra.find(name);
    return found == extra.end() ? 0.0 : found->second;
  };
  for (size_t k = 0; k < sums_.size(); ++k)
    sums_[k] = {value("entropy.loss." + tasks_[k].label), value("entropy.weight." + tasks_[k].label),
                value("entropy.labels." + tasks_[k].label)};
}

}  // namespace lime
