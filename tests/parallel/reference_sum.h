// The tests' own sum along the tree, and inputs for it.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "runtime/philox.h"
#include "runtime/tensor.h"

namespace lime {

// items[first, last) summed elementwise along the tree that splits n at the largest power of two below n.
template <typename T>
std::vector<T> reference_tree_sum(const std::vector<std::vector<T>>& items, size_t first, size_t last) {
  if (last - first == 1) return items[first];
  size_t split = 1;
  while (split * 2 < last - first) split *= 2;
  std::vector<T> left = reference_tree_sum(items, first, first + split);
  const std::vector<T> right = reference_tree_sum(items, first + split, last);
  for (size_t i = 0; i < left.size(); ++i) left[i] += right[i];
  return left;
}
template <typename T>
std::vector<T> reference_tree_sum(const std::vector<std::vector<T>>& items) {
  return reference_tree_sum(items, 0, items.size());
}

// Values of very different magnitudes and both signs, so that another order of addition gives other bits.
template <typename T>
std::vector<T> rough_values(int64_t n, uint64_t key) {
  const Philox random(7, stream_of("rough", key));
  std::vector<T> values(static_cast<size_t>(n));
  for (size_t i = 0; i < values.size(); ++i) {
    const double x = random.normal(2 * i) * std::exp2(20 * random.uniform(2 * i + 1));
    values[i] = static_cast<T>(x);
  }
  return values;
}

// Small integers: their sums are exact in any order.
template <typename T>
std::vector<T> whole_values(int64_t n, uint64_t key) {
  const Philox random(9, stream_of("whole", key));
  std::vector<T> values(static_cast<size_t>(n));
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<T>(static_cast<int64_t>(random.below(2001, i)) - 1000);
  return values;
}

template <typename T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

template <typename T>
View view_of(std::vector<T>& values) {
  return {values.data(), 1, static_cast<int64_t>(values.size())};
}
template <typename T>
ConstView view_of(const std::vector<T>& values) {
  return {values.data(), 1, static_cast<int64_t>(values.size())};
}

}  // namespace lime
