// Histories that are cut along time over ranks: context parallelism.
//
// A rank of a group has one part of each history of a batch, its rows laid end to end as whole histories
// would be, and the same requests and links as the others. Links meet a history by sums over its rows, which
// are sums over the parts: links x d numbers a request and block, however long the history. All else is done
// row by row. Each rank has candidates of its own, and computes the gradient of its own loss through its own
// copy of the links; what a rank gave to a sum takes part in the losses of all, so that the gradients of the
// sum are added up over ranks as the parts were. Gradients of parameters and inputs are then parts, too: the
// batch's are their sums over the group.
#pragma once

#include "parallel/communicator.h"
#include "runtime/context.h"
#include "runtime/jagged.h"

namespace lime {

struct HistoryParts {
  // Over the context's device, in order of time: rank 0 has the oldest events. Null: histories are whole.
  // Collective are then forward and backward.
  Communicator* ranks = nullptr;
  // By their lengths, for each request: its whole history, and the events after this rank's part.
  Jagged whole = {}, later = {};
};

// x = op over the parts, in an order that is fixed (Communicator), in the parameters' type. Nothing where
// histories are whole.
void reduce_parts(Context&, const HistoryParts&, ReduceOp, View x);

}  // namespace lime
