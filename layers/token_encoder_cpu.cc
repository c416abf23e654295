// Position embedding on the CPU. Plain loops over contiguous rows, which compilers vectorise.
#include <algorithm>

#include "layers/cpu_kernels.h"
#include "layers/segments.h"

namespace lime::cpu {
namespace {

template <typename T>
void add_row(const T* __restrict x, int64_t n, T* __restrict y) {
  for (int64_t i = 0; i < n; ++i) y[i] += x[i];
}

// Of a row of request b, from the most recent event backwards, clamped to `last`.
int64_t position(const Jagged& history, const Jagged& later, int64_t b, int64_t row, int64_t last) {
  return std::min(history.end(b) - 1 - row + (later.segments() > 0 ? later.length(b) : 0), last);
}

template <typename T>
void forward(const ConstView& table, const Jagged& history, const Jagged& later, int64_t first, View tokens) {
  for_each_segment(history, first, tokens.rows(), [&](const Segment& s) {
    for (int64_t row = s.begin; row < s.end; ++row) {
      const int64_t p = position(history, later, s.request, row, table.rows() - 1);
      add_row(table.row<T>(p), table.cols(), tokens.row<T>(row - first));
    }
  });
}

template <typename T>
void backward(const ConstView& dtokens, const Jagged& history, const Jagged& later, int64_t first,
              View dtable) {
  for_each_segment(history, first, dtokens.rows(), [&](const Segment& s) {
    for (int64_t row = s.begin; row < s.end; ++row) {
      const int64_t p = position(history, later, s.request, row, dtable.rows() - 1);
      add_row(dtokens.row<T>(row - first), dtable.cols(), dtable.row<T>(p));
    }
  });
}

}  // namespace

void add_positions(const ConstView& table, const Jagged& history, const Jagged& later, int64_t first,
                   View tokens) {
  tokens.dtype() == DType::f32 ? forward<float>(table, history, later, first, tokens)
                               : forward<double>(table, history, later, first, tokens);
}

void add_positions_backward(const ConstView& dtokens, const Jagged& history, const Jagged& later,
                            int64_t first, View dtable) {
  dtable.dtype() == DType::f32 ? backward<float>(dtokens, history, later, first, dtable)
                               : backward<double>(dtokens, history, later, first, dtable);
}

}  // namespace lime::cpu
