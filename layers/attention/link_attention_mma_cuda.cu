// Link attention with tensor cores.
//
// Forward, a block has one head of one chunk of one request's history. A warp owns 16 links, with their
// queries, running maxima m, sums s and weighted sums o (link_attention.h) in registers, over 16 history rows
// at a time from tiles that arrive by asynchronous copies; where there are fewer links than warps can own,
// several share the rows. Sums are rescaled when a maximum grows, which soon is seldom. What the chunks leave
// is taken in by link_attention_chunks_cuda.h; a chunk that is all of its history does so itself.
//
// Backward is the sum of sums_mma_cuda.h, from scores computed again: A = exp(S / sqrt(w) - L),
// D = A (G - delta) / sqrt(w). Exponentials are of base 2, one instruction of the special function unit each;
// weights are rounded to bf16 for the product with v.
#include "layers/attention/link_attention_mma_cuda.h"

#include <cmath>
#include <limits>

#include "layers/attention/link_attention_chunks_cuda.h"
#include "layers/attention/sums_mma_cuda.h"

namespace lime::cuda {

namespace {

constexpr float log2_e = 1.44269504f, ln_2 = 0.693147181f;

// --- forward
// ------------------------------------------------------------------------------------------------------------

struct LinkMmaCall {
  Chunks chunks;
  int64_t heads, links;
  float slope;  // log2(e) / sqrt(w)
  float lowest;
  Matrix<const bf16> q, k, v;
  LinkChunks<float> of_chunks;
  LinkRunning<bf16> running;
};

// Maxima (of scores in powers of 2) and sums of a thread's two links, and the warp's 16 x width sums.
template <int width>
struct OnlineSoftmax {
  float maximum[2], sum[2] = {};
  RowSums<width> out = {};

  // Weights of 16 history rows as left operands; scores are given.
  __device__ __forceinline__ void weigh(const float (&s)[2][4], uint32_t (&a)[4]) {
    float most[2] = {maximum[0], maximum[1]};
#pragma unroll
    for (int i = 0; i < 4; ++i)
#pragma unroll
      for (int j = 0; j < 2; ++j) most[i % 2] = fmaxf(most[i % 2], s[i / 2][i % 2 * 2 + j]);
    if (__any_sync(all_lanes, most[0] > maximum[0] || most[1] > maximum[1])) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        for (int distance = 1; distance < 4; distance *= 2)  // the four lanes of a row
          most[half] = fmaxf(most[half], __shfl_xor_sync(all_lanes, most[half], distance));
        const float factor = fast_exp2(maximum[half] - most[half]);
        maximum[half] = most[half];
        sum[half] *= factor;
#pragma unroll
        for (int n = 0; n < width / 8; ++n)
#pragma unroll
          for (int j = 0; j < 2; ++j) out[n][2 * half + j] *= factor;
      }
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      float p[2];
#pragma unroll
      for (int j = 0; j < 2; ++j) p[j] = fast_exp2(s[i / 2][i % 2 * 2 + j] - maximum[i % 2]);
      sum[i % 2] += p[0] + p[1];
      a[i] = pack_bf16(p[0], p[1]);
    }
  }
  // After the last: sums over the four lanes of a row, maxima of scores as they are.
  __device__ void finish() {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      for (int distance = 1; distance < 4; distance *= 2)
        sum[half] += __shfl_xor_sync(all_lanes, sum[half], distance);
      maximum[half] *= ln_2;
    }
  }
};

// Into the running state: what merge_chunks_kernel does with one chunk. `row` and `link` are the warp's
// first.
template <int width>
__device__ void take_in(const OnlineSoftmax<width>& of, const LinkRunning<bf16>& running, int64_t state_row,
                        int64_t row, int link, int column) {
  const int lane = static_cast<int>(threadIdx.x) % warp_size;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int mine = lane / 4 + 8 * half;
    float& maximum = running.maximum.row(state_row)[link + mine];
    float& sum = running.sum.row(state_row)[link + mine];
    const float top = fmaxf(maximum, of.maximum[half]), before = exponential(maximum - top),
                now = exponential(of.maximum[half] - top);
    bf16* out = running.out.row(row + mine) + column + lane % 4 * 2;
#pragma unroll
    for (int n = 0; n < width / 8; ++n) {
      Pack<bf16, 2> pair = load_pack<2>(out + n * 8);
#pragma unroll
      for (int i = 0; i < 2; ++i)
        pair.at[i] = from_compute<bf16>(before * to_compute(pair.at[i]) + now * of.out[n][2 * half + i]);
      store_pack(out + n * 8, pair);
    }
    __syncwarp();  // the four lanes have read the state
    if (lane % 4 == 0) maximum = top, sum = before * sum + now * of.sum[half];
  }
}

// Grid: heads of chunks (HeadOfChunk).
template <int width, int warps>
__global__ void __launch_bounds__(32 * warps, mma_blocks(width, warps, false))
    link_chunk_mma_kernel(LinkMmaCall call) {
  using Tiles = HistoryTiles<width, 16 * warps, 2>;
  const HeadOfChunk block(call.chunks, call.heads);
  const Chunk& chunk = block.chunk;
  if (chunk.rows() == 0) return;
  const int links = static_cast<int>(call.links), column = block.head * width,
            lane = static_cast<int>(threadIdx.x) % warp_size;
  const Swizzled<width> q{dynamic_shared<bf16>()};
  const Tiles tiles{
      q.data + links * width, {call.k, call.v}, chunk.begin, static_cast<int>(chunk.rows()), column};
  q.load(call.q, chunk.request * links, column, links, links);
  tiles.load(0, 0);
  copy_commit();

  const LinkOwner owner = link_owner<warps>(links);
  LeftRows<width, true> x;
  OnlineSoftmax<width> softmax{{call.lowest, call.lowest}};
  tiles.each([&](int row, int stage) {
    const Swizzled<width> k = tiles.tile(stage, 0), v = tiles.tile(stage, 1);
    const int valid = tiles.count - row;
    if (owner.part >= owner.parts) return;
    if (row == 0) x.load(q, owner.first_link);
#pragma unroll 1
    for (int r = owner.part * 16; r < Tiles::rows && r < valid; r += owner.parts * 16) {
      float s[2][4] = {};
      mma_scores(x, k, r, s);
#pragma unroll
      for (int i = 0; i < 4; ++i)
#pragma unroll
        for (int j = 0; j < 2; ++j) {
          const bool inside = r + i / 2 * 8 + lane % 4 * 2 + j < valid;
          float& score = s[i / 2][i % 2 * 2 + j];
          score = inside ? call.slope * score : -std::numeric_limits<float>::infinity();
        }
      uint32_t a[4];
      softmax.weigh(s, a);
      mma_accumulate(a, v, r, softmax.out);
    }
  });
  if (owner.part >= owner.parts) return;
  softmax.finish();
  if (owner.parts == 1 && chunk.alone)
    return take_in(softmax, call.running, chunk.request * call.heads + block.head,
                   chunk.request * links + owner.first_link, owner.first_link, column);
  const int64_t part = block.number * owner.parts + owner.part, d = call.heads * width;
  write_link_sums<width>(softmax.out, 1, call.of_chunks.out + (part * links + owner.first_link) * d + column,
                         d);
  if (lane % 4 != 0) return;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int64_t at = (part * call.heads + block.head) * links + owner.first_link + lane / 4 + 8 * half;
    call.of_chunks.maximum[at] = softmax.maximum[half], call.of_chunks.sum[at] = softmax.sum[half];
  }
}

// --- backward
// -----------------------------------------------------------------------------------------------------------

struct SoftmaxMmaWeights {
  static constexpr bool both = false;
  struct Link {
    float log_sum, delta;  // the logarithm is of base 2
  };

  float score_slope;
  int64_t heads;
  Matrix<const float> log_sum, delta;

  __device__ Link link(const Chunk& chunk, int64_t head, int i) const {
    const int64_t row = chunk.request * heads + head;
    return {log2_e * log_sum.row(row)[i], delta.row(row)[i]};
  }
  __device__ float factor(const Chunk&, int, bool) const { return 1; }
  __device__ float slope() const { return score_slope; }
  template <bool with0, bool with1, typename LinkOf>
  __device__ __forceinline__ void weigh(const LinkOf& link, const float (&s)[2][4], const float (&g)[2][4],
                                        uint32_t (&a)[4], uint32_t (&d)[4]) const {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      float weight[2], gradient[2];
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        const int at = i % 2 * 2 + j;
        const Link l = link(i, j);
        const float x = log2_e * score_slope * s[i / 2][at] - l.log_sum;
        weight[j] = fast_exp2(x > 0 ? 0 : x);  // no weight is above 1, whatever is rounded
        if constexpr (with0) gradient[j] = weight[j] * (g[i / 2][at] - l.delta);
      }
      if constexpr (with1) a[i] = pack_bf16(weight[0], weight[1]);
      if constexpr (with0) d[i] = pack_bf16(gradient[0], gradient[1]);
    }
  }
};

float slope_of(int64_t width) { return static_cast<float>(1 / std::sqrt(static_cast<double>(width))); }

template <int width>
void launch_forward(Context& ctx, size_t shared_bytes, const LinkMmaCall& call) {
  const dim3 grid(static_cast<uint32_t>(call.chunks.numbers() * call.heads));
  const auto start = [&]<int warps>() {
    launch(ctx, "link_attention", link_chunk_mma_kernel<width, warps>, grid, dim3(32 * warps), shared_bytes,
           call);
  };
  mma_warps(call.links) == 4 ? start.template operator()<4>() : start.template operator()<8>();
}

}  // namespace

bool link_attention_mma(Context& ctx, const LinkAttention& a, int64_t first, const ConstView& q,
                        const ConstView& k, const ConstView& v, const LinkAttentionState& state,
                        const View& out) {
  const int64_t d = q.cols(), width = d / a.heads, rows = k.rows();
  if (!takes_mma<false, SoftmaxMmaWeights>(ctx, a.links, width, false, {&q, &k, &v, &out})) return false;
  const int64_t parts = mma_parts(a.links);
  const Chunks chunks = make_chunks(a.history, first, rows, chunk_size(rows, a.heads));
  const LinkMmaCall call{chunks,
                         a.heads,
                         a.links,
                         log2_e * slope_of(width),
                         std::numeric_limits<float>::lowest(),
                         matrix<const bf16>(q),
                         matrix<const bf16>(k),
                         matrix<const bf16>(v),
                         alloc_link_chunks<float>(ctx, chunks, parts, a.heads, a.links, d),
                         {matrix<float>(state.maximum), matrix<float>(state.sum), matrix<bf16>(out)}};
  const size_t shared_bytes = mma_shared_bytes<false>(a.links, width, false, 0);
  width == 32   ? launch_forward<32>(ctx, shared_bytes, call)
  : width == 64 ? launch_forward<64>(ctx, shared_bytes, call)
                : launch_forward<128>(ctx, shared_bytes, call);
  merge_link_chunks<bf16>(ctx, "link_attention", chunks, a.heads, a.links, parts, 2, call.of_chunks,
                          call.running);
  return true;
}

bool link_attention_backward_mma(Context& ctx, const LinkAttention& a, int64_t first, const ConstView& q,
                                 const ConstView& k, const ConstView& v, const ConstView& dout,
                                 const LinkAttentionState& state, const View& dq, const View& dk,
                                 const View& dv) {
  const int64_t d = q.cols(), width = d / a.heads, rows = k.rows();
  if (!takes_mma<true, SoftmaxMmaWeights>(ctx, a.links, width, false, {&q, &k, &v, &dout, &dq, &dk, &dv}))
    return false;
  const char* name = "link_attention_backward";
  const int64_t parts = mma_parts(a.links);
  const auto m = [](const ConstView& x) { return matrix<const bf16>(x); };
  MmaCall call{make_chunks(a.history, first, rows, chunk_size(rows, a.heads)), a.heads, a.links, {}};
  auto* partial =
      ctx.arena().alloc(DType::f32, call.chunks.numbers() * parts * a.links, d).template data<float>();
  call.direction[0] = {{m(q), m(dout)},
                       {m(k), m(v)},
                       {matrix<bf16>(dk), matrix<bf16>(dv)},
                       {partial, nullptr},
                       {matrix<bf16>(dq), {}}};
  const SoftmaxMmaWeights weights{slope_of(width), a.heads, matrix<const float>(state.maximum),
                                  matrix<const float>(state.sum)};
  launch_mma<true>(ctx, name, width, false, weights, call);
  add_chunks<bf16>(ctx, name, call.chunks, a.links, parts, 2, partial, {{matrix<bf16>(dq)}}, 1);
  return true;
}

}  // namespace lime::cuda
