// Target attention on CUDA, for rows of any type and shape: forward keeps the running maximum, sum and
// weighted sums of 32 candidates over all keys; backward is the sums of query_attention_cuda.h. Rows that
// tensor cores can take are handed to target_attention_mma_cuda.cu.
#include <cmath>
#include <limits>

#include "layers/attention/query_attention_cuda.h"
#include "layers/attention/query_attention_mma_cuda.h"
#include "layers/attention/softmax_cuda.h"
#include "layers/cuda_kernels_attention.h"

namespace lime::cuda {

namespace {

constexpr const char *forward_name = "target_attention", *backward_name = "target_attention_backward";

template <typename A>
A slope_of(const TargetAttention& attention, const ConstView& q) {
  return static_cast<A>(1 / std::sqrt(static_cast<double>(q.cols() / attention.heads)));
}

// Grid: chunks of 32 candidates; heads; 64 columns of a head each.
template <typename T, typename A = Compute<T>>
__global__ void __launch_bounds__(256)
    target_attention_kernel(Chunks chunks, const int64_t* history, int64_t width, A slope, A lowest,
                            Matrix<const T> q, Matrix<const T> k, Matrix<const T> v, Matrix<T> out,
                            Matrix<A> lse) {
  __shared__ Square<T> xs, ys, weights;
  __shared__ RunningSoftmax<A> state;
  const Chunk chunk = chunks.find(blockIdx.x);
  if (chunk.rows() == 0) return;
  const int64_t first_key = history[chunk.request], keys = history[chunk.request + 1] - first_key;
  const int64_t first = int64_t{blockIdx.z} * sum_columns;
  const SquareRows at{chunk.begin, chunk.rows(), 0, 0, int64_t{blockIdx.y} * width, width};
  BlockSums<A> sums = {};
  state.begin(lowest);
  add_softmax_rows(q, k, v, at, first_key, keys, first, slope, state, xs, ys, weights, sums);
  __syncthreads();
  each_sum<T>(sums, at, first, [&](int64_t x, int64_t c, A value) {
    out.row(at.x + x)[at.column + c] = from_compute<T>(keys > 0 ? value / state.sum[x] : A(0));
  });
  const uint32_t thread = thread_in_block();
  if (blockIdx.z == 0 && thread < square && thread < at.x_rows)
    lse.row(at.x + thread)[blockIdx.y] =
        keys > 0 ? state.maximum[thread] + logarithm(state.sum[thread]) : A(0);
}

// delta = sum over a head's columns of dout * out. A thread a candidate and head.
template <typename T, typename A = Compute<T>>
__global__ void delta_kernel(int64_t width, Matrix<const T> out, Matrix<const T> dout, Matrix<A> delta) {
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x, row = i / delta.cols,
                head = i % delta.cols;
  if (row >= delta.rows) return;
  delta.row(row)[head] = dot_product(out.row(row) + head * width, dout.row(row) + head * width, width);
}

}  // namespace

void target_attention(Context& ctx, const TargetAttention& a, const ConstView& q, const ConstView& k,
                      const ConstView& v, View out, View lse) {
  if (target_attention_mma(ctx, a, q, k, v, out, lse)) return;
  with_multiplied_type(ctx, q.dtype(), [&]<typename T>(T) {
    using A = Compute<T>;
    const auto m = [](const ConstView& x) { return matrix<const T>(x); };
    const int64_t width = q.cols() / a.heads;
    const Chunks chunks = make_chunks(a.candidates, 0, q.rows(), square);
    launch(ctx, forward_name, target_attention_kernel<T>, square_grid(chunks, a.heads, width), square_threads,
           0, chunks, a.history.device(), width, slope_of<A>(a, q), std::numeric_limits<A>::lowest(), m(q),
           m(k), m(v), matrix<T>(out), matrix<A>(lse));
  });
}

void target_attention_backward(Context& ctx, const TargetAttention& a, const ConstView& q, const ConstView& k,
                               const ConstView& v, const ConstView& out, const ConstView& lse,
                               const ConstView& dout, View dq, View dk, View dv) {
  const Arena::Scope scope(ctx.arena());
  if (target_attention_backward_mma(ctx, a, q, k, v, out, lse, dout, dq, dk, dv)) return;
  with_multiplied_type(ctx, q.dtype(), [&]<typename T>(T) {
    using A = Compute<T>;
    const auto m = [](const ConstView& x) { return matrix<const T>(x); };
    const View delta = ctx.arena().alloc(dtype_of<A>(), q.rows(), a.heads);
    constexpr int threads = 128;
    launch(ctx, backward_name, delta_kernel<T>, dim3(divide_up(delta.size(), threads)), dim3(threads), 0,
           q.cols() / a.heads, m(out), m(dout), matrix<A>(delta));
    const SoftmaxRule<A> rule{slope_of<A>(a, q), matrix<const A>(lse), matrix<const A>(delta), 0};
    const Queries<T> queries{m(q), m(dout), a.candidates.device(), false};
    query_sums<T, true>(ctx, backward_name, a.candidates, a.history, a.heads, queries, m(k), m(v), rule,
                        OwnKeys<T>{}, matrix<T>(dq));
    key_sums<T>(ctx, backward_name, a.history, a.heads, queries, Queries<T>{}, m(k), m(v), rule,
                matrix<T>(dk), matrix<T>(dv));
  });
}

}  // namespace lime::cuda
