#include "launch/best_metric.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "runtime/error.h"
#include "runtime/text.h"

namespace lime {
namespace {

struct Kind {
  const char* name;
  double Metrics::*value;
  bool higher;
};
constexpr std::array kinds{Kind{"auc", &Metrics::auc, true}, Kind{"gauc", &Metrics::gauc, true},
                           Kind{"wt_auc", &Metrics::wt_auc, true}, Kind{"ne", &Metrics::ne, false},
                           Kind{"log_loss", &Metrics::log_loss, false}};

}  // namespace

std::optional<BestMetric> best_metric(const Config& config) {
  const std::string& name = config.train.best;
  if (name.empty()) return std::nullopt;
  const std::vector<HistoryMode> modes = history_modes(config.eval.history);
  std::vector<BestMetric> known;
  std::vector<std::string> names;
  const auto add = [&](const std::string& prefix, HistoryMode mode) {
    for (const auto& task : config.tasks)
      for (const Kind& kind : kinds) {
        if (kind.value == &Metrics::wt_auc && config.eval.watch_time.empty()) continue;
        names.push_back(str(prefix, task.label, ".", kind.name));
        known.push_back({names.back(), to_string(mode), task.label, kind.name, kind.higher});
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
  const auto* const kind =
      std::find_if(kinds.begin(), kinds.end(), [&](const Kind& k) { return k.name == metric.metric; });
  for (const auto& result : results)
    for (const auto& task : result.tasks)
      if (result.history == metric.history && task.task == metric.task) return task.all.*(kind->value);
  return std::numeric_limits<double>::quiet_NaN();
}

bool BestSoFar::add(int64_t step, double value, bool kept) {
  const bool better = std::isfinite(value) && (!step_ || (higher_ ? value > value_ : value < value_));
  in_vain_ = better ? 0 : in_vain_ + 1;
  if (!better || !kept) return false;
  step_ = step;
  value_ = value;
  return true;
}

}  // namespace lime
