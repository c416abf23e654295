#include "io/number_buckets.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace lime {

NumberBuckets NumberBuckets::between(std::vector<float> boundaries) {
  const auto count = static_cast<int64_t>(boundaries.size()) + 1;
  return {count, std::move(boundaries)};
}

int64_t NumberBuckets::bucket_of(float value) const {
  if (std::isnan(value)) return -1;
  return std::upper_bound(boundaries.begin(), boundaries.end(), value) - boundaries.begin();
}

NumberBuckets equal_buckets(std::vector<float> values, int64_t count) {
  std::erase_if(values, [](float value) { return std::isnan(value); });
  std::sort(values.begin(), values.end());
  std::vector<float> boundaries;
  for (int64_t i = 1; i < count && !values.empty(); ++i) {
    const float lowest =
        boundaries.empty() ? values.front() : boundaries.back();  // of the bucket to be ended
    auto next = values.begin() + static_cast<int64_t>(values.size()) * i / count;
    const bool in_run = next != values.begin() && *next == *(next - 1);
    if (*next == lowest && in_run) next = std::upper_bound(next, values.end(), lowest);
    if (next != values.end() && *next > lowest) boundaries.push_back(*next);
  }
  return NumberBuckets::between(std::move(boundaries));
}

}  // namespace lime
