// Numbers as ids: the buckets of a real column, each with an embedding of its own.
//
// A network that is given a price of 100,000 beside embeddings of 0.05 learns from nothing else
// (docs/quality.md); buckets with equally many values each are the same for a price, its square and its
// logarithm.
#pragma once

#include <cstdint>
#include <vector>

namespace lime {

struct NumberBuckets {
  static constexpr int64_t standard = 32;

  int64_t count = standard;       // 0: none, the number itself is the feature
  std::vector<float> boundaries;  // rising; one fewer than buckets, once they are known

  // The buckets that these rising boundaries make, whatever the numbers.
  static NumberBuckets between(std::vector<float> boundaries);
  bool known() const { return count == 0 || static_cast<int64_t>(boundaries.size()) + 1 == count; }
  // How many boundaries are at most `value`; -1, a missing id, where it is NaN. They must be known.
  int64_t bucket_of(float value) const;
  friend bool operator==(const NumberBuckets&, const NumberBuckets&) = default;
};

// At most `count` buckets, with equally many of these values each as far as equal values allow: one that
// would fill a bucket has a bucket of its own. NaN does not count.
NumberBuckets equal_buckets(std::vector<float> values, int64_t count);

}  // namespace lime
