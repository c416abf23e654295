// Link attention over chunks of a history: what each leaves, and how they are taken into the running state of
// link_attention.h, in order.
#pragma once

#include "layers/attention/chunks_cuda.h"
#include "runtime/cuda_kernel_math.h"

namespace lime::cuda {

// Running maximum, sum and weighted sums of each chunk, or of each of `parts` parts of its rows: maximum and
// sum are numbers*parts*heads x links, out is numbers*parts*links x d.
template <typename A>
struct LinkChunks {
  A *maximum, *sum, *out;
};

template <typename A>
LinkChunks<A> alloc_link_chunks(Context& ctx, const Chunks& chunks, int64_t parts, int64_t heads,
                                int64_t links, int64_t d) {
  const auto alloc = [&](int64_t rows, int64_t cols) {
    return ctx.arena().alloc(dtype_of<A>(), rows, cols).template data<A>();
  };
  const int64_t numbers = chunks.numbers() * parts;
  return {alloc(numbers * heads, links), alloc(numbers * heads, links), alloc(numbers * links, d)};
}

// The running state of a call and its output.
template <typename T, typename A = Compute<T>>
struct LinkRunning {
  Matrix<A> maximum, sum;
  Matrix<T> out;
};

inline constexpr int merge_threads = 64;

// Takes in what the chunks left, where there are at least `fewest` (parts of) chunks. Grid: links of
// requests, heads.
template <typename T, typename A = Compute<T>>
__global__ void merge_chunks_kernel(Chunks chunks, int64_t links, int64_t width, int64_t parts,
                                    int64_t fewest, LinkChunks<A> of, LinkRunning<T> running) {
  const int64_t row = blockIdx.x, request = row / links, link = row % links, head = blockIdx.y;
  const int64_t first = chunks.number(request) * parts, count = chunks.count(request) * parts;
  if (count == 0 || count < fewest) return;
  A& maximum = running.maximum.row(request * gridDim.y + head)[link];
  A& sum = running.sum.row(request * gridDim.y + head)[link];
  const auto of_chunk = [&](const A* values, int64_t n) {
    return values[((first + n) * gridDim.y + head) * links + link];
  };
  A top = maximum;
  for (int64_t n = 0; n < count; ++n) {
    const A m = of_chunk(of.maximum, n);
    top = m > top ? m : top;
  }
  const A before = exponential(maximum - top);
  for (int64_t c = threadIdx.x; c < width; c += merge_threads) {
    T& to = running.out.row(row)[head * width + c];
    A o = before * to_compute(to);
    for (int64_t n = 0; n < count; ++n)
      o += exponential(of_chunk(of.maximum, n) - top) *
           of.out[((first + n) * links + link) * width * gridDim.y + head * width + c];
    to = from_compute<T>(o);
  }
  __syncthreads();  // all threads have read the state
  if (threadIdx.x != 0) return;
  A s = before * sum;
  for (int64_t n = 0; n < count; ++n) s += exponential(of_chunk(of.maximum, n) - top) * of_chunk(of.sum, n);
  maximum = top, sum = s;
}

template <typename T>
void merge_link_chunks(Context& ctx, const char* name, const Chunks& chunks, int64_t heads, int64_t links,
                       int64_t parts, int64_t fewest, const LinkChunks<Compute<T>>& of,
                       const LinkRunning<T>& running) {
  if (chunks.most * parts < fewest) return;
  launch(ctx, name, merge_chunks_kernel<T>,
         dim3(static_cast<uint32_t>(chunks.requests * links), static_cast<uint32_t>(heads)),
         dim3(merge_threads), 0, chunks, links, running.out.cols / heads, parts, fewest, of, running);
}

}  // namespace lime::cuda
