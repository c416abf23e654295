// Sums of parts in the order of tree_sum.h, maxima and minima in the order of ranks: a thread makes 16 bytes
// of the result, with the partial sums of the tree in registers. Which of those a part is added to costs as
// much for four elements as for one.
#include "parallel/reduce_parts.h"
#include "runtime/cuda_kernel.h"

namespace lime::cuda {
namespace {

// Of a tree: a part for each rank of a host or a few, or of up to 2^16. Each level is registers.
constexpr int few_levels = 4, most_levels = 16;

template <typename T>
struct Parts {
  const T* own;
  const T* others;
  int own_rank, parts;
  int64_t count;

  template <int N>
  __device__ Pack<T, N> at(int part, int64_t i) const {
    if (part == own_rank) return load_pack<N>(own + i);
    return load_pack<N>(others + static_cast<int64_t>(part < own_rank ? part : part - 1) * count + i);
  }
};

template <typename T, int N>
__device__ __forceinline__ Pack<T, N> operator+(const Pack<T, N>& a, const Pack<T, N>& b) {
  Pack<T, N> sum;
#pragma unroll
  for (int k = 0; k < N; ++k) sum.at[k] = a.at[k] + b.at[k];
  return sum;
}

// A binary counter: level k, where bit k of the number of parts so far is set, holds the sum of 2^k of them.
template <int N, int levels, typename T>
__device__ Pack<T, N> tree_sum(const Parts<T>& parts, int64_t i) {
  Pack<T, N> level[levels];
  for (int p = 0; p < parts.parts; ++p) {
    Pack<T, N> sum = parts.template at<N>(p, i);
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
  Pack<T, N> total{};
  bool any = false;
#pragma unroll
  for (int k = 0; k < levels; ++k) {
    if (((parts.parts >> k) & 1) == 0) continue;
    total = any ? level[k] + total : level[k];
    any = true;
  }
  return total;
}

template <int N, int levels, typename T>
__global__ void sum_kernel(Parts<T> parts, T* out) {
  const int64_t i = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * N;
  if (i < parts.count) store_pack(out + i, tree_sum<N, levels>(parts, i));
}

template <int N, typename T>
__global__ void pick_kernel(Parts<T> parts, bool largest, T* out) {
  const int64_t i = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * N;
  if (i >= parts.count) return;
  Pack<T, N> best = parts.template at<N>(0, i);
  for (int p = 1; p < parts.parts; ++p) {
    const Pack<T, N> next = parts.template at<N>(p, i);
    for (int k = 0; k < N; ++k)
      if (largest ? best.at[k] < next.at[k] : next.at[k] < best.at[k]) best.at[k] = next.at[k];
  }
  store_pack(out + i, best);
}

template <typename T>
void reduce(Context& ctx, ReduceOp op, const DeviceParts& parts, int64_t count, T* out) {
  const Parts<T> typed{static_cast<const T*>(parts.own), static_cast<const T*>(parts.others), parts.own_rank,
                       parts.parts, count};
  constexpr int threads = 256, width = pack_width<T>;
  const auto start = [&]<int N>() {
    const uint32_t blocks = divide_up(count, threads * N);
    if (op == ReduceOp::sum) {
      const auto kernel =
          typed.parts < 1 << few_levels ? sum_kernel<N, few_levels, T> : sum_kernel<N, most_levels, T>;
      launch(ctx, "reduce_parts", kernel, blocks, threads, 0, typed, out);
    } else {
      launch(ctx, "reduce_parts", pick_kernel<N, T>, blocks, threads, 0, typed, op == ReduceOp::max, out);
    }
  };
  const auto aligned = [](const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; };
  const bool packs = count % width == 0 && aligned(parts.own) && aligned(parts.others) && aligned(out);
  packs ? start.template operator()<width>() : start.template operator()<1>();
}

}  // namespace

void reduce_parts(Context& ctx, DType dtype, ReduceOp op, const DeviceParts& parts, int64_t count,
                  void* out) {
  LIME_CHECK(0 < parts.parts && parts.parts < (1 << most_levels) && 0 <= parts.own_rank &&
                 parts.own_rank < parts.parts,
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
