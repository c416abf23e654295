// How a fused layer goes over many rows, so that what it makes of some is still in cache when it is used.
#pragma once

#include <algorithm>

#include "runtime/context.h"

namespace lime {

// Calls f(begin, end) for tiles of `rows` rows, in order: each of Context::tile_rows(cols), but the last.
template <typename F>
void each_tile(const Context& ctx, int64_t rows, int64_t cols, F&& f) {
  const int64_t step = ctx.tile_rows(cols);
  for (int64_t begin = 0; begin < rows; begin += step) f(begin, std::min(begin + step, rows));
}

}  // namespace lime
