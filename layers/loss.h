// Multi-task binary cross-entropy on logits, summed (not averaged): sums merge over micro-batches and ranks.
#pragma once

#include "runtime/context.h"

namespace lime {

// logits, labels (0..1), weights (task weight x sample weight; 0 leaves a label out): C x tasks, of the
// parameters' type. dlogits = weights . (sigmoid(logits) - labels) and loss (1 x tasks, f64, on the context's
// device), the weighted sum of losses a task, are overwritten. Computed in f64 as
// max(x,0) - x y + log1p(exp(-|x|)); sums over rows in a fixed order. Nothing waits for the device.
void bce_with_logits(Context&, const ConstView& logits, const ConstView& labels, const ConstView& weights,
                     View dlogits, View loss);

// p = sigmoid(logits), C x tasks, of the parameters' type.
void sigmoid(Context&, const ConstView& logits, View p);

}  // namespace lime
