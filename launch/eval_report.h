// Evaluation results as text for people and as JSON for programs.
#pragma once

#include <string>
#include <vector>

#include "launch/evaluator.h"

namespace lime {

// A block a history mode: for each task rows by day, then all days. "-" where a metric is not defined.
std::string to_table(const std::vector<EvalResult>&);
// A line a history mode and task, of all days, with what is defined: "  click  AUC 0.8523  GAUC 0.8472  NE
// 0.6881  (history running)".
std::string to_lines(const std::vector<EvalResult>&);
// A list of results, each with the name of the checkpoint that was evaluated; a metric that is not defined is
// null. Leaves out `seconds`: equal text for equal results.
std::string to_json(const std::vector<EvalResult>&, const std::string& checkpoint);

}  // namespace lime
