// What `lime bench latency` writes: a table, JSON, and a chart for each sweep.
#pragma once

#include <string>
#include <vector>

#include "launch/chart.h"
#include "launch/latency.h"

namespace lime {

// Median over the swept size, both logarithmic, a band up to the 99th percentile.
Chart latency_chart(const LatencyPlan&, Swept, const std::vector<MeasuredLatency>&);
std::string latency_json(const LatencyPlan&, const std::vector<MeasuredLatency>&);
// A table a sweep: sizes down, models across, medians in ms.
std::string latency_text(const LatencyPlan&, const std::vector<MeasuredLatency>&);

}  // namespace lime
