// Results that no run made, for tests of what shows them.
#pragma once

#include "launch/compare/results.h"

namespace lime {

// Seven models with nearly the same numbers (so that names must make room for each other), two tasks, running
// and frozen histories, four days, three seeds; WT-AUC is not defined. Latency over 2^6..2^15 candidates
// where asked for.
ComparisonResults made_up_results(bool with_latency);

}  // namespace lime
