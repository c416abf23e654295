// Training as metrics.jsonl has it: curves over steps.
#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "launch/compare/results.h"
#include "runtime/error.h"

namespace lime {
namespace {

// By stretch of steps (each up to its end), the mean or the last of one run's values; NaN where it has none.
std::vector<double> by_stretch(const std::vector<double>& step, const std::vector<double>& values, bool last,
                               const std::vector<double>& ends) {
  std::vector<double> sums(ends.size(), 0.0);
  std::vector<int> numbers(ends.size(), 0);
  for (size_t i = 0; i < step.size(); ++i) {
    const auto bin = static_cast<size_t>(std::lower_bound(ends.begin(), ends.end(), step[i]) - ends.begin());
    if (!std::isfinite(values[i]) || bin == ends.size()) continue;
    sums[bin] = last ? values[i] : sums[bin] + values[i];
    numbers[bin] = last ? 1 : numbers[bin] + 1;
  }
  for (size_t b = 0; b < ends.size(); ++b)
    sums[b] = numbers[b] > 0 ? sums[b] / numbers[b] : std::numeric_limits<double>::quiet_NaN();
  return sums;
}

}  // namespace

TrainingLog read_training_log(const std::string& metrics_path) {
  std::ifstream file(metrics_path);
  if (!file) throw UserError(str(metrics_path, ": cannot be read"));
  TrainingLog log;
  for (std::string line; std::getline(file, line);) {
    const auto json = nlohmann::json::parse(line, nullptr, false);
    if (!json.is_object() || json.value("kind", "") != "train") continue;
    const auto number = [&](const char* name) {
      return json.contains(name) && json[name].is_number() ? json[name].get<double>()
                                                           : std::numeric_limits<double>::quiet_NaN();
    };
    log.step.push_back(number("step"));
    log.loss.push_back(number("loss"));
    log.ne.push_back(number("ne"));
    const double requests = number("requests"), rate = number("requests_per_s");
    const bool timed = requests > 0 && rate > 0;
    log.requests.push_back(timed ? requests : 0.0);
    log.seconds.push_back(timed ? requests / rate : 0.0);
  }
  return log;
}

TrainingCurve training_curve(const std::vector<TrainingLog>& logs, std::vector<double> TrainingLog::*values,
                             bool last, int bins) {
  TrainingCurve curve;
  if (logs.empty()) return curve;
  // Lines come at the same steps in all runs, unless one was interrupted and has some more: stretches are so
  // many lines of the run with the fewest.
  const auto fewest = std::min_element(
      logs.begin(), logs.end(),
      [](const TrainingLog& a, const TrainingLog& b) { return a.step.size() < b.step.size(); });
  const size_t lines = fewest->step.size(), count = std::min(lines, static_cast<size_t>(bins));
  std::vector<double> ends;
  for (size_t b = 1; b <= count; ++b) ends.push_back(fewest->step[lines * b / count - 1]);
  std::vector<std::vector<double>> runs;
  for (const auto& log : logs) runs.push_back(by_stretch(log.step, log.*values, last, ends));
  for (size_t b = 0; b < count; ++b) {
    double sum = 0, low = std::numeric_limits<double>::infinity(), high = -low;
    for (const auto& run : runs) {  // NaN in one is NaN in the mean: a gap
      sum += run[b];
      low = std::min(low, run[b]);
      high = std::max(high, run[b]);
    }
    if (std::isnan(sum)) continue;
    curve.step.push_back(ends[b]);
    curve.mean.push_back(sum / static_cast<double>(runs.size()));
    curve.low.push_back(low);
    curve.high.push_back(high);
  }
  return curve;
}

}  // namespace lime
