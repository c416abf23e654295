// The parts of requests that a tile of jagged rows covers.
#pragma once

#include <algorithm>
#include <cstdint>

#include "runtime/jagged.h"

namespace lime {

// Rows [begin, end) of the batch, all of one request, not empty.
struct Segment {
  int64_t request, begin, end;
  int64_t rows() const { return end - begin; }
};

// Calls f(Segment) for the requests with rows in [first, first + rows), in order.
template <typename F>
void for_each_segment(const Jagged& jagged, int64_t first, int64_t rows, F&& f) {
  const auto offsets = jagged.host();
  const int64_t last = first + rows;
  int64_t b = std::upper_bound(offsets.begin(), offsets.end(), first) - offsets.begin() - 1;
  for (int64_t row = first; row < last; ++b) {
    const int64_t end = std::min(jagged.end(b), last);
    if (end > row) f(Segment{b, row, end});
    row = std::max(row, end);
  }
}

}  // namespace lime
