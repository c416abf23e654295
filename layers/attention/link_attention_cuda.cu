// Link attention on CUDA, for rows of any type and shape.
//
// Forward, a block takes 32 links and 64 columns of a head over a chunk of the history, and keeps the running
// maximum m, sum s and weighted sums o of link_attention.h; a second pass brings the chunks of a request to
// their common maximum and adds them in order. Backward is the sum of sums_cuda.h with weights
// A = exp(S / sqrt(w) - L), D = A (G - delta) / sqrt(w). Rows that tensor cores can take are handed to
// link_attention_mma_cuda.h.
#include <cmath>
#include <limits>

#include "layers/attention/link_attention_chunks_cuda.h"
#include "layers/attention/link_attention_mma_cuda.h"
#include "layers/attention/softmax_cuda.h"
#include "layers/cuda_kernels_attention.h"
#include "runtime/cuda_kernel_math.h"
#include "runtime/primitives.h"

namespace lime::cuda {

namespace {

constexpr const char *forward_name = "link_attention", *backward_name = "link_attention_backward";

// --- forward
// ------------------------------------------------------------------------------------------------------------

// Grid: chunks x 32 links each; heads; 64 columns of a head each.
template <typename T, typename A = Compute<T>>
__global__ void __launch_bounds__(256)
    link_chunk_kernel(Chunks chunks, int64_t links, int64_t width, A slope, A lowest, Matrix<const T> q,
                      Matrix<const T> k, Matrix<const T> v, LinkChunks<A> state) {
  __shared__ Square<T> xs, ys, weights;
  __shared__ RunningSoftmax<A> running;
  const int64_t link_blocks = (links + square - 1) / square;
  const int64_t number = blockIdx.x / link_blocks, link0 = blockIdx.x % link_blocks * square;
  const Chunk chunk = chunks.find(number);
  if (chunk.rows() == 0) return;
  const int64_t begin = int64_t{blockIdx.z} * sum_columns;
  const SquareRows at{chunk.request * links + link0, links - link0, 0, 0, int64_t{blockIdx.y} * width, width};
  BlockSums<A> out = {};
  running.begin(lowest);
  add_softmax_rows(q, k, v, at, chunk.begin, chunk.rows(), begin, slope, running, xs, ys, weights, out);
  each_sum<T>(out, at, begin, [&](int64_t x, int64_t c, A value) {
    state.out[(number * links + link0 + x) * width * gridDim.y + at.column + c] = value;
  });
  const uint32_t thread = thread_in_block();
  if (blockIdx.z == 0 && thread < square && thread < at.x_rows) {
    const int64_t i = (number * gridDim.y + blockIdx.y) * links + link0 + thread;
    state.maximum[i] = running.maximum[thread], state.sum[i] = running.sum[thread];
  }
}

// A warp has a head of a link of a request.
inline constexpr int head_warps = 8;
struct LinkHead {
  int64_t row, first, state_row, link;  // of links; the head's first column; of the state, and its column
  __device__ LinkHead(int64_t links, int64_t heads, int64_t width) {
    const int64_t i = int64_t{blockIdx.x} * head_warps + threadIdx.x / warp_size, head = i % heads;
    row = i / heads, first = head * width;
    state_row = row / links * heads + head, link = row % links;
  }
};

// sum and out for `to`, which becomes the maximum. Grid: heads of links (LinkHead).
template <typename T, typename A = Compute<T>>
__global__ void rescale_kernel(int64_t links, int64_t heads, Matrix<const A> to, Matrix<A> maximum,
                               Matrix<A> sum, Matrix<T> out) {
  const int64_t width = out.cols / heads;
  const LinkHead mine(links, heads, width);
  if (mine.row >= out.rows) return;
  A& running = maximum.row(mine.state_row)[mine.link];
  const A common = to.row(mine.state_row)[mine.link], factor = exponential(running - common);
  T* o = out.row(mine.row) + mine.first;
  const int64_t lane = threadIdx.x % warp_size;
  for (int64_t c = lane; c < width; c += warp_size) o[c] = from_compute<T>(to_compute(o[c]) * factor);
  __syncwarp();  // all lanes have read the maximum
  if (lane == 0) running = common, sum.row(mine.state_row)[mine.link] *= factor;
}

// out /= sum, maximum += log(sum), except where the history is empty. Grid: heads of links (LinkHead).
template <typename T, typename A = Compute<T>>
__global__ void finish_kernel(int64_t links, int64_t heads, Matrix<A> maximum, Matrix<A> sum, Matrix<T> out) {
  const int64_t width = out.cols / heads;
  const LinkHead mine(links, heads, width);
  if (mine.row >= out.rows) return;
  const A total = sum.row(mine.state_row)[mine.link];
  if (total == 0) return;
  T* o = out.row(mine.row) + mine.first;
  const int64_t lane = threadIdx.x % warp_size;
  for (int64_t c = lane; c < width; c += warp_size) o[c] = from_compute<T>(to_compute(o[c]) / total);
  if (lane == 0) maximum.row(mine.state_row)[mine.link] += logarithm(total);
}

// --- backward
// -----------------------------------------------------------------------------------------------------------

// sum = sum over a head's columns of dout * out. Grid as above.
template <typename T, typename A = Compute<T>>
__global__ void delta_kernel(int64_t links, int64_t heads, Matrix<const T> out, Matrix<const T> dout,
                             Matrix<A> sum) {
  const int64_t width = out.cols / heads, lane = threadIdx.x % warp_size;
  const LinkHead mine(links, heads, width);
  if (mine.row >= out.rows) return;
  const T *o = out.row(mine.row) + mine.first, *g = dout.row(mine.row) + mine.first;
  A total = 0;
  for (int64_t c = lane; c < width; c += warp_size) total += to_compute(o[c]) * to_compute(g[c]);
  total = warp_sum(total);
  if (lane == 0) sum.row(mine.state_row)[mine.link] = total;
}

template <typename A>
struct SoftmaxWeight {
  A slope;
  const A *log_sum, *delta;  // of the links of a head
  __device__ void operator()(int64_t link, A s, A g, A& a, A& d) const {
    a = exponential(slope * s - log_sum[link]);
    d = slope * a * (g - delta[link]);
  }
};
template <typename A>
struct SoftmaxWeights {
  A slope;
  int64_t heads;
  Matrix<const A> log_sum, delta;
  __device__ SoftmaxWeight<A> of(const Chunk& chunk, int64_t head) const {
    const int64_t row = chunk.request * heads + head;
    return {slope, log_sum.row(row), delta.row(row)};
  }
};

template <typename A>
A slope_of(int64_t width) {
  return static_cast<A>(1 / std::sqrt(static_cast<double>(width)));
}

dim3 head_grid(const LinkAttention& a) {
  return {divide_up(a.history.segments() * a.links * a.heads, head_warps)};
}

}  // namespace

void link_attention_begin(Context& ctx, const LinkAttentionState& state, View out) {
  fill(ctx, out, 0);
  fill(ctx, state.sum, 0);
  fill(ctx, state.maximum,
       state.maximum.dtype() == DType::f32 ? std::numeric_limits<float>::lowest()
                                           : std::numeric_limits<double>::lowest());
}

void link_attention_tile(Context& ctx, const LinkAttention& a, int64_t first, const ConstView& q,
                         const ConstView& k, const ConstView& v, const LinkAttentionState& state, View out) {
  const Arena::Scope scope(ctx.arena());
  if (link_attention_mma(ctx, a, first, q, k, v, state, out)) return;
  with_multiplied_type(ctx, q.dtype(), [&]<typename T>(T) {
    using A = Compute<T>;
    const int64_t d = q.cols(), width = d / a.heads;
    const Chunks chunks = make_chunks(a.history, first, k.rows(), chunk_size(k.rows(), a.heads));
    const LinkChunks<A> partial = alloc_link_chunks<A>(ctx, chunks, 1, a.heads, a.links, d);
    const dim3 grid(static_cast<uint32_t>(chunks.numbers()) * divide_up(a.links, square),
                    static_cast<uint32_t>(a.heads), divide_up(width, sum_columns));
    launch(ctx, forward_name, link_chunk_kernel<T>, grid, square_threads, 0, chunks, a.links, width,
           slope_of<A>(width), std::numeric_limits<A>::lowest(), matrix<const T>(q), matrix<const T>(k),
           matrix<const T>(v), partial);
    merge_link_chunks<T>(ctx, forward_name, chunks, a.heads, a.links, 1, 1, partial,
                         {matrix<A>(state.maximum), matrix<A>(state.sum), matrix<T>(out)});
  });
}

void link_attention_rescale(Context& ctx, const LinkAttention& a, const ConstView& maximum,
                            const LinkAttentionState& state, View out) {
  with_row_type(out.dtype(), [&]<typename T>(T) {
    using A = Compute<T>;
    launch(ctx, forward_name, rescale_kernel<T>, head_grid(a), dim3(head_warps * warp_size), 0, a.links,
           a.heads, matrix<const A>(maximum), matrix<A>(state.maximum), matrix<A>(state.sum), matrix<T>(out));
  });
}

void link_attention_finish(Context& ctx, const LinkAttention& a, const LinkAttentionState& state, View out) {
  with_row_type(out.dtype(), [&]<typename T>(T) {
    using A = Compute<T>;
    launch(ctx, forward_name, finish_kernel<T>, head_grid(a), dim3(head_warps * warp_size), 0, a.links,
           a.heads, matrix<A>(state.maximum), matrix<A>(state.sum), matrix<T>(out));
  });
}

void link_attention_backward_begin(Context& ctx, const LinkAttention& a, const ConstView& out,
                                   const ConstView& dout, const LinkAttentionState& state) {
  with_row_type(out.dtype(), [&]<typename T>(T) {
    launch(ctx, backward_name, delta_kernel<T>, head_grid(a), dim3(head_warps * warp_size), 0, a.links,
           a.heads, matrix<const T>(out), matrix<const T>(dout), matrix<Compute<T>>(state.sum));
  });
}

void link_attention_backward_tile(Context& ctx, const LinkAttention& a, int64_t first, const ConstView& q,
                                  const ConstView& k, const ConstView& v, const ConstView& dout,
                                  const LinkAttentionState& state, View dq, View dk, View dv) {
  const Arena::Scope scope(ctx.arena());
  if (link_attention_backward_mma(ctx, a, first, q, k, v, dout, state, dq, dk, dv)) return;
  with_multiplied_type(ctx, q.dtype(), [&]<typename T>(T) {
    using A = Compute<T>;
    const int64_t d = q.cols(), width = d / a.heads, rows = k.rows();
    const Chunks long_chunks = make_chunks(a.history, first, rows, chunk_size(rows, a.heads));
    const auto m = [](const ConstView& x) { return matrix<const T>(x); };
    const SoftmaxWeights<A> weights{slope_of<A>(width), a.heads, matrix<const A>(state.maximum),
                                    matrix<const A>(state.sum)};
    auto* partial = ctx.arena().alloc(dtype_of<A>(), long_chunks.numbers() * a.links, d).template data<A>();
    attention_sums<T, true, true, false>(ctx, backward_name, long_chunks, a.links, a.heads, width,
                                         {m(q), m(dout), m(k), m(v)}, weights, {{}, {partial, nullptr}});
    add_chunks<T>(ctx, backward_name, long_chunks, a.links, 1, 1, partial, {{matrix<T>(dq)}}, 1);
    attention_sums<T, false, true, true>(ctx, backward_name, make_chunks(a.history, first, rows, square),
                                         a.links, a.heads, width, {m(k), m(v), m(q), m(dout)}, weights,
                                         {{matrix<T>(dk), matrix<T>(dv)}, {}});
  });
}

}  // namespace lime::cuda
