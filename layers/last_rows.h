// The last rows of each segment, and the way back.
//
//   x  T x c, B segments        y  T' x c, B segments, each no longer than that of x
//
// y's segment b is the last rows of x's. Backward: dx = dy where there is one, else 0.
#pragma once

#include "runtime/context.h"
#include "runtime/jagged.h"

namespace lime {

void last_rows(Context&, const ConstView& x, const Jagged& of_x, const Jagged& of_y, View y);
// dx is overwritten.
void last_rows_backward(Context&, const ConstView& dy, const Jagged& of_x, const Jagged& of_y, View dx);

}  // namespace lime
