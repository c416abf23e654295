#include "layers/history_parts.h"

#include "runtime/primitives.h"
#include "runtime/trace.h"

namespace lime {

void reduce_parts(Context& ctx, const HistoryParts& parts, ReduceOp op, View x) {
  if (!parts.ranks || x.empty()) return;
  const TraceRange range(ctx, "reduce parts");
  const Arena::Scope scope(ctx.arena());
  const bool in_place = x.contiguous() && x.dtype() == ctx.parameter_dtype();
  const View buffer = in_place ? x : ctx.alloc_parameter(x.rows(), x.cols());
  if (!in_place) copy(ctx, x, buffer);
  parts.ranks->all_reduce(buffer, op)->wait();
  if (!in_place) copy(ctx, buffer, x);
}

}  // namespace lime
