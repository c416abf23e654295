#include "parallel/reduce_parts.h"

#include <algorithm>

#include "parallel/tree_sum.h"

namespace lime {
namespace {

// In rank order on every rank, so that all choose the same of 0 and -0, or of NaN and a number.
template <typename T>
void pick(std::span<void* const> parts, int64_t count, ReduceOp op, T* out) {
  for (int64_t i = 0; i < count; ++i) {
    T best = static_cast<const T*>(parts[0])[i];
    for (void* part : parts.subspan(1)) {
      const T next = static_cast<const T*>(part)[i];
      best = op == ReduceOp::max ? std::max(best, next) : std::min(best, next);
    }
    out[i] = best;
  }
}

}  // namespace

void reduce_parts(DType dtype, ReduceOp op, std::span<void* const> parts, int64_t count, void* out) {
  if (op == ReduceOp::sum) return tree_sum_parts(dtype, parts, count, out);
  switch (dtype) {
    case DType::f32:
      return pick(parts, count, op, static_cast<float*>(out));
    case DType::f64:
      return pick(parts, count, op, static_cast<double*>(out));
    case DType::i64:
      return pick(parts, count, op, static_cast<int64_t*>(out));
    case DType::bf16:
      break;
  }
  LIME_CHECK(false, "reduce_parts of ", to_string(dtype));
}

}  // namespace lime
