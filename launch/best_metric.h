// What config.train.best names: one number of an evaluation, and which way it is better.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "launch/evaluator.h"
#include "model/config.h"

namespace lime {

struct BestMetric {
  std::string name;                   // as the configuration has it: "click.auc"
  std::string history, task, metric;  // as metrics.jsonl has them
  bool higher = true;                 // is better
  bool of_requests = false;           // is not defined where each request has one candidate
};

// Nothing where train.best is empty. Without a history it is the first that eval.history has. Throws
// UserError, with the nearest name, where the run has no such metric.
std::optional<BestMetric> best_metric(const Config&);

// Of all held-out days together; NaN where it is not defined.
double value_of(const BestMetric&, const std::vector<EvalResult>&);

// The best of evaluations, one after the other. What is not a number is never the best; of equal ones the
// earlier is.
class BestSoFar {
 public:
  explicit BestSoFar(bool higher) : higher_(higher) {}

  // Whether it is the best so far. `kept`: there is, or will be, a checkpoint of it; a better one without any
  // is no best, but not in vain either.
  bool add(int64_t step, double value, bool kept = true);

  std::optional<int64_t> step() const { return step_; }
  double value() const { return value_; }
  int64_t in_vain() const { return in_vain_; }  // evaluations since, or since the last that was better
  bool is_defined() const { return defined_; }  // the last one's value

 private:
  bool higher_;
  std::optional<int64_t> step_;
  double value_ = 0;
  int64_t in_vain_ = 0;
  bool defined_ = true;
};

}  // namespace lime
