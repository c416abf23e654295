// Sums of parts in the order of tree_sum.h, maxima and minima in the order of ranks: a thread makes one
// element, with the partial sums of the tree in registers.
#include "parallel/reduce_parts.h"
#include "runtime/cuda_kernel.h"

namespace lime::cuda {
namespace {

constexpr int levels = 16;  // a tree of at most 2^16 ranks

template <typename T>
struct Parts {
  const T* own;
  const T* others;
  int own_rank, parts;
  int64_t count;

  __device__ T at(int part, int64_t i) const {
    if (part == own_rank) return own[i];
    return others[static_cast<int64_t>(part < own_rank ? part : part - 1) * count + i];
  }
};

// A binary counter: level k, where bit k of the number of parts so far is set, holds the sum of 2^k of them.
template <typename T>
__device__ T tree_sum(const Parts<T>& parts, int64_t i) {
  T level[levels];
  for (int p = 0; p < parts.parts; ++p) {
    T sum = parts.at(p, i);
    bool carries = true;
#pragma unroll
    for (int k = 0; k < levels; ++k) {
      if (!carries) continue;
      carries = ((p >> k) & 1) != 0;
      if (carries) {
        sum = level[k] + sum;
      } else {
        level[k] = sum;
      }
    }
  }
  T total{};
  bool any = false;
#pragma unroll
  for (int k = 0; k < levels; ++k) {
    if (((parts.parts >> k) & 1) == 0) continue;
    total = any ? level[k] + total : level[k];
    any = true;
  }
  return total;
}

template <typename T>
__global__ void sum_kernel(Parts<T> parts, T* out) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < parts.count) out[i] = tree_sum(parts, i);
}

template <typename T>
__global__ void pick_kernel(Parts<T> parts, bool largest, T* out) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= parts.count) return;
  T best = parts.at(0, i);
  for (int p = 1; p < parts.parts; ++p) {
    const T next = parts.at(p, i);
    if (largest ? best < next : next < best) best = next;
  }
  out[i] = best;
}

template <typename T>
void reduce(Context& ctx, ReduceOp op, const DeviceParts& parts, int64_t count, T* out) {
  const Parts<T> typed{static_cast<const T*>(parts.own), static_cast<const T*>(parts.others), parts.own_rank,
                       parts.parts, count};
  constexpr int threads = 256;
  const uint32_t blocks = divide_up(count, threads);
  if (op == ReduceOp::sum) {
    launch(ctx, "reduce_parts", sum_kernel<T>, blocks, threads, 0, typed, out);
  } else {
    launch(ctx, "reduce_parts", pick_kernel<T>, blocks, threads, 0, typed, op == ReduceOp::max, out);
  }
}

}  // namespace

void reduce_parts(Context& ctx, DType dtype, ReduceOp op, const DeviceParts& parts, int64_t count,
                  void* out) {
  LIME_CHECK(
      0 < parts.parts && parts.parts < (1 << levels) && 0 <= parts.own_rank && parts.own_rank < parts.parts,
      "part ", parts.own_rank, " of ", parts.parts);
  switch (dtype) {
    case DType::f32:
      return reduce(ctx, op, parts, count, static_cast<float*>(out));
    case DType::f64:
      return reduce(ctx, op, parts, count, static_cast<double*>(out));
    case DType::i64:
      return reduce(ctx, op, parts, count, static_cast<int64_t*>(out));
    case DType::bf16:
      break;
  }
  LIME_CHECK(false, "reduce_parts of ", to_string(dtype));
}

}  // namespace lime::cuda
