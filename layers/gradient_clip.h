// Clipping by the global norm (Pascanu et al., "On the difficulty of training recurrent neural networks",
// 2013), as a number that stays on the device, so that nobody waits for it.
#pragma once

#include "runtime/context.h"

namespace lime {

// scale = min(1, max_norm / sqrt(squares)), what gradients are multiplied with; max_norm = 0 clips nothing.
// Both are 1 x 1, f64, on the context's device. NaN where `squares` is not finite, and ever after: with it an
// update changes nothing, so that what a run was before it went wrong is still there when the host hears of
// it. Before the first step scale is 1.
void clip_scale(Context&, const ConstView& squares, double max_norm, View scale);

}  // namespace lime
