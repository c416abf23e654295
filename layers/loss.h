// Multi-task binary cross-entropy on logits, summed (not averaged): sums merge over micro-batches and ranks.
#pragma once

#include <vector>

#include "runtime/context.h"

namespace lime {

// logits, labels (0..1), weights (task weight x sample weight; 0 leaves a label out): C x tasks.
// dlogits = weights . (sigmoid(logits) - labels), overwritten. Returns the weighted sum of losses a task, in
// f64, computed as max(x,0) - x y + log1p(exp(-|x|)).
std::vector<double> bce_with_logits(Context&, const ConstView& logits, const ConstView& labels,
                                    const ConstView& weights, View dlogits);

// p = sigmoid(logits), C x tasks.
void sigmoid(Context&, const ConstView& logits, View p);

}  // namespace lime
