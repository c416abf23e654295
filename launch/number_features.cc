#include "launch/number_features.h"

#include <utility>

#include "io/number_boundaries.h"
#include "runtime/error.h"

namespace lime {

Config with_buckets(Config config) {
  const Dataset dataset = Dataset::open(config.data.path);
  const std::vector<std::string> days = dataset.select_days(config.data.train, "data.train");
  std::map<std::string, NumberBuckets>& buckets = config.features.buckets;
  std::map<std::string, int64_t> unknown;
  for (const auto& name : number_features(dataset.schema(), config.features)) {
    const auto [chosen, added] = buckets.try_emplace(name);
    if (added && !config.train.from.empty()) chosen->second = {0, {}};
    if (!chosen->second.known()) unknown[name] = chosen->second.count;
  }
  for (auto& [name, found] : find_buckets(dataset, days, config.features, unknown))
    buckets[name] = std::move(found);
  return config;
}

std::string buckets_line(const Config& config) {
  std::string line;
  for (const auto& [name, buckets] : config.features.buckets)
    if (buckets.count > 0)
      line += str(line.empty() ? "numbers in buckets: " : ", ", name, " ", buckets.count);
  return line;
}

}  // namespace lime
