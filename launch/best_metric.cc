#include "launch/best_metric.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "runtime/error.h"
#include "runtime/text.h"

namespace lime {

std::optional<BestMetric> best_metric(const Config& config) {
  const std::string& name = config.train.best;
  if (name.empty()) return std::nullopt;
  const std::vector<HistoryMode> modes = history_modes(config.eval.history);
  std::vector<BestMetric> known;
  std::vector<std::string> names;
  const auto add = [&](const std::string& prefix, HistoryMode mode) {
    for (const auto& task : config.tasks)
      for (const auto& metric : metric_names) {
        if (metric.kind == MetricKind::wt_auc && config.eval.watch_time.empty()) continue;
        names.push_back(str(prefix, task.label, ".", metric.key));
        known.push_back({names.back(), to_string(mode), task.label, metric.key, metric.kind != MetricKind::ne,
                         is_of_requests(metric.kind)});
      }
  };
  add("", modes.front());
  const std::vector<std::string> short_names = names;
  for (const HistoryMode mode : modes) add(str(to_string(mode), "."), mode);
  const auto found = std::find(names.begin(), names.end(), name);
  if (found != names.end()) return known[static_cast<size_t>(found - names.begin())];
  const bool watches = name.ends_with(".wt_auc") && config.eval.watch_time.empty();
  throw UserError(str("train.best: found '", name, "', expected one of ", joined(short_names),
                      ", or one of them after a history of eval.history (", config.eval.history,
                      "), such as ", names[short_names.size()],
                      watches ? "; wt_auc needs eval.watch_time" : did_you_mean(likely_word(name, names))));
}

double value_of(const BestMetric& metric, const std::vector<EvalResult>& results) {
  const auto* const named = std::find_if(metric_names.begin(), metric_names.end(),
                                         [&](const MetricName& name) { return name.key == metric.metric; });
  for (const auto& result : results)
    for (const auto& task : result.tasks)
      if (result.history == metric.history && task.task == metric.task) return task.all.*(named->value);
  return std::numeric_limits<double>::quiet_NaN();
}

bool BestSoFar::add(int64_t step, double value, bool kept) {
  defined_ = std::isfinite(value);
  const bool better = defined_ && (!step_ || (higher_ ? value > value_ : value < value_));
  in_vain_ = better ? 0 : in_vain_ + 1;
  if (!better || !kept) return false;
  step_ = step;
  value_ = value;
  return true;
}

}  // namespace lime
