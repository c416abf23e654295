// Time, and what this machine's memory gives: what figures are compared with.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstring>
#include <vector>

namespace lime {

inline double now_ms() {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

inline double median(std::vector<double> x) {
  std::nth_element(x.begin(), x.begin() + static_cast<std::ptrdiff_t>(x.size() / 2), x.end());
  return x[x.size() / 2];
}

// Bytes read and written a millisecond by copies of 256 MiB.
inline double copy_bytes_per_ms() {
  std::vector<char> a(size_t{256} << 20, 1), b(a.size(), 2);
  double best = 1e300;
  for (int i = 0; i < 5; ++i) {
    const double begin = now_ms();
    std::memcpy(b.data(), a.data(), a.size());
    best = std::min(best, now_ms() - begin);
    a[static_cast<size_t>(i)] = b[a.size() - 1];
  }
  return 2.0 * static_cast<double>(a.size()) / best;
}

}  // namespace lime
