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

template <typename T>
void forward(const ConstView& table, const Jagged& history, int64_t first, View tokens) {
  for_each_segment(history, first, tokens.rows(), [&](const Segment& s) {
    for (int64_t row = s.begin; row < s.end; ++row) {
      const int64_t p = std::min(history.end(s.request) - 1 - row, table.rows() - 1);
      add_row(table.row<T>(p), table.cols(), tokens.row<T>(row - first));
    }
  });
}

template <typename T>
void backward(const ConstView& dtokens, const Jagged& history, int64_t first, View dtable) {
  for_each_segment(history, first, dtokens.rows(), [&](const Segment& s) {
    for (int64_t row = s.begin; row < s.end; ++row) {
      const int64_t p = std::min(history.end(s.request) - 1 - row, dtable.rows() - 1);
      add_row(dtokens.row<T>(row - first), dtable.cols(), dtable.row<T>(p));
    }
  });
}

}  // namespace

void add_positions(const ConstView& table, const Jagged& history, int64_t first, View tokens) {
  tokens.dtype() == DType::f32 ? forward<float>(table, history, first, tokens)
                               : forward<double>(table, history, first, tokens);
}

void add_positions_backward(const ConstView& dtokens, const Jagged& history, int64_t first, View dtable) {
  dtable.dtype() == DType::f32 ? backward<float>(dtokens, history, first, dtable)
                               : backward<double>(dtokens, history, first, dtable);
}

}  // namespace lime::cpu
