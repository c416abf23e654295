// Target attention with tensor cores; see query_attention_mma_kernel_cuda.h for backward. Forward is a kernel
// of its own: it keeps a running maximum and sum, brought up to date every 32 keys.
#include <cmath>
#include <limits>

#include "layers/attention/query_attention_mma_cuda.h"
#include "layers/attention/query_attention_mma_kernel_cuda.h"
#include "runtime/cuda_kernel_math.h"

namespace lime::cuda {

namespace {

constexpr int forward_step = 32;

// Groups of 16 rows a warp, as many as there are registers for.
constexpr int groups_of(int width) { return width == 128 ? 1 : 2; }

float slope_of(int64_t width) { return static_cast<float>(1 / std::sqrt(static_cast<double>(width))); }

// 2^x. No weight is above 1, though large scores round by more than 1; NaN stays NaN.
__device__ __forceinline__ float weight_of(float x) { return fast_exp2(x > 0 ? 0 : x); }

// --- forward
// ------------------------------------------------------------------------------------------------------------

struct Softmax {
  float slope2;       // 1 / (sqrt(w) log 2): scores in units of log 2
  Matrix<float> lse;  // queries x heads
};

// The running state of a group of queries: of rows l / 4 and l / 4 + 8 in lane l, with the sum of its own
// columns.
struct Running {
  float maximum[2] = {-std::numeric_limits<float>::max(), -std::numeric_limits<float>::max()},
        sum[2] = {0, 0};

  // Takes 32 keys in; s becomes their weights.
  template <int width>
  __device__ __forceinline__ void advance(float slope2, float (&s)[2][2][4], RowSums<width>& sums) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const auto score = [&](int i) -> float& { return s[i / 4][i / 2 % 2][2 * half + i % 2]; };
      float top = score(0);
#pragma unroll
      for (int i = 1; i < 8; ++i) top = fmaxf(top, score(i));
      top = fmaxf(top, __shfl_xor_sync(all_lanes, top, 1));
      top = fmaxf(maximum[half], slope2 * fmaxf(top, __shfl_xor_sync(all_lanes, top, 2)));
      const float before = fast_exp2(maximum[half] - top);
      float total = 0;
#pragma unroll
      for (int i = 0; i < 8; ++i) total += score(i) = weight_of(fmaf(slope2, score(i), -top));
      maximum[half] = top;
      sum[half] = fmaf(before, sum[half], total);
#pragma unroll
      for (int n = 0; n < width / 8; ++n) sums[n][2 * half] *= before, sums[n][2 * half + 1] *= before;
    }
  }

  // The sums are over all columns then.
  __device__ __forceinline__ void end() {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      sum[half] += __shfl_xor_sync(all_lanes, sum[half], 1);
      sum[half] += __shfl_xor_sync(all_lanes, sum[half], 2);
    }
  }
  // Makes means of the weighted sums: zeros where there were no keys.
  template <int width>
  __device__ __forceinline__ void divide(RowSums<width>& sums) const {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float share = sum[half] == 0 ? 0.0f : 1 / sum[half];
#pragma unroll
      for (int n = 0; n < width / 8; ++n) sums[n][2 * half] *= share, sums[n][2 * half + 1] *= share;
    }
  }
  // Calls f(row of the group, maximum, sum) for the lane's rows, one lane each.
  template <typename F>
  __device__ __forceinline__ void each_row(F f) const {
    const int lane = static_cast<int>(threadIdx.x) % warp_size;
    if (lane % 4 != 0) return;
#pragma unroll
    for (int half = 0; half < 2; ++half) f(lane / 4 + 8 * half, maximum[half], sum[half]);
  }
};

// Grid: heads of chunks of candidates.
template <int width, int groups>
__global__ void __launch_bounds__(query_warps* warp_size)
    target_attention_mma_kernel(QueryCall call, Softmax softmax) {
  bf16* memory = dynamic_shared<bf16>();
  const BlockQueries block(call);
  if (block.chunk.rows() == 0) return;
  const WarpQueries mine = block.warp(groups);
  const int64_t column = block.head * width;
  LeftRows<width, true> q[groups], none[groups];
  load_left_rows<1>(memory, block.of.q, block.of.q, block.chunk.begin, column, block.chunk.rows(), q, none);
  Running running[groups];
  RowSums<width> sums[groups] = {};
  each_keys<width, forward_step, groups>(
      call, mine, column, memory, [&](int first, int r, const Swizzled<width>& k, const Swizzled<width>& v) {
        float half[2][groups][2][4] = {};  // scores of 16 keys each
        mma_scores(q, k, r, half[0]);
        mma_scores(q, k, r + 16, half[1]);
        uint32_t a[2][groups][4];
#pragma unroll
        for (int n = 0; n < groups; ++n) {
          float s[2][2][4];
#pragma unroll
          for (int i = 0; i < 16; ++i) s[i / 8][i / 4 % 2][i % 4] = half[i / 8][n][i / 4 % 2][i % 4];
          if (mine.not_all(first, forward_step)) {
#pragma unroll
            for (int i = 0; i < 2; ++i)
              mask_pairs(s[i], -std::numeric_limits<float>::infinity(),
                         [&](int row, int j) { return mine.sees(16 * n + row, first + 16 * i + j); });
          }
          running[n].template advance<width>(softmax.slope2, s, sums[n]);
#pragma unroll
          for (int i = 0; i < 8; ++i)
            a[i / 4][n][i % 4] =
                pack_bf16(s[i / 4][i / 2 % 2][i % 2 * 2], s[i / 4][i / 2 % 2][i % 2 * 2 + 1]);
        }
        mma_accumulate(a[0], v, r, sums);
        mma_accumulate(a[1], v, r + 16, sums);
      });
  const bool parts = call.parts.count > 1;
  const int64_t slot = block.number * block_rows(groups) + (mine.row - block.chunk.begin);
#pragma unroll
  for (int n = 0; n < groups; ++n) {
    running[n].end();
    if (!parts) running[n].template divide<width>(sums[n]);
    running[n].each_row([&](int r, float maximum, float sum) {
      const int row = 16 * n + r;
      if (parts) {
        call.parts.state[(block.part * call.heads + block.head) * call.parts.slots + slot + row] = {
            {maximum, sum}};
      } else if (row < mine.valid) {
        softmax.lse.row(mine.row + row)[block.head] = lse_of(maximum, sum);
      }
    });
  }
  if (parts) {
    write_part<width>(sums, 1, call, block);
  } else {
    write_sums<width>(sums, 1, memory, block.of.out, block.chunk.begin, block.chunk.rows(), column);
  }
}

// --- backward
// -----------------------------------------------------------------------------------------------------------

// lse in units of log 2, and delta.
using Statistics = Pack<float, 2>;

// a = 2^(slope2 s - lse), d = a (g - delta), with the hardware's exp2.
struct SoftmaxMma {
  static constexpr float nothing = -std::numeric_limits<float>::infinity();

  float slope2;
  const Statistics* statistics;  // of head h and candidate c at h * candidates + c
  int64_t candidates;

  // Rows of scores are queries, or columns.
  template <bool rows>
  struct Weights {
    float slope2;
    Statistics at[rows ? 2 : 4];  // rows l / 4, l / 4 + 8; columns 2 (l % 4), the next, and 8 further
    template <bool with_weight, bool with_gradient>
    __device__ __forceinline__ void weigh(const float (&s)[2][4], const float (&g)[2][4], uint32_t (&a)[4],
                                          uint32_t (&d)[4]) const {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        float weight[2], gradient[2];
#pragma unroll
        for (int j = 0; j < 2; ++j) {
          const Statistics& of_query = at[rows ? i % 2 : i / 2 * 2 + j];
          weight[j] = weight_of(fmaf(slope2, s[i / 2][i % 2 * 2 + j], -of_query.at[0]));
          gradient[j] = weight[j] * (g[i / 2][i % 2 * 2 + j] - of_query.at[1]);
        }
        if constexpr (with_weight) a[i] = pack_bf16(weight[0], weight[1]);
        if constexpr (with_gradient) d[i] = pack_bf16(gradient[0], gradient[1]);
      }
    }
  };
  // Of a head's query `i` from `first`; none from `valid` on.
  __device__ Statistics of(int64_t first, int i, int valid, int64_t head) const {
    return i < valid ? statistics[head * candidates + first + i] : Statistics{{0, 0}};
  }
  __device__ Weights<true> of_rows(int64_t first, int valid, int64_t head) const {
    const int row = static_cast<int>(threadIdx.x) % warp_size / 4;
    return {slope2, {of(first, row, valid, head), of(first, row + 8, valid, head)}};
  }
  __device__ Weights<false> of_columns(int64_t first, int valid, int64_t head) const {
    const int column = static_cast<int>(threadIdx.x) % 4 * 2;
    return {slope2,
            {of(first, column, valid, head), of(first, column + 1, valid, head),
             of(first, column + 8, valid, head), of(first, column + 9, valid, head)}};
  }
  __device__ float factor(int64_t) const { return 1; }
  __device__ float slope() const { return slope2 * log_of_2; }
  template <bool gradient, int width>
  __device__ void add_own_keys(const LeftRows<width, true>&, const LeftRows<width, true>&, int64_t, int,
                               int64_t, float, RowSums<width>&) const {}  // candidates read the history alone
};

// A warp a candidate and head.
__global__ void statistics_kernel(int64_t width, Matrix<const bf16> out, Matrix<const bf16> dout,
                                  Matrix<const float> lse, Statistics* statistics) {
  const int64_t i = (int64_t{blockIdx.x} * blockDim.x + threadIdx.x) / warp_size, row = i / lse.cols,
                head = i % lse.cols;
  const int lane = static_cast<int>(threadIdx.x) % warp_size;
  if (row >= lse.rows) return;
  float delta = 0;
  for (int64_t c = head * width + lane; c < (head + 1) * width; c += warp_size)
    delta = fmaf(to_compute(out.row(row)[c]), to_compute(dout.row(row)[c]), delta);
  delta = warp_sum(delta);
  if (lane == 0) statistics[head * lse.rows + row] = {{lse.row(row)[head] / log_of_2, delta}};
}

}  // namespace

bool target_attention_mma(Context& ctx, const TargetAttention& a, const ConstView& q, const ConstView& k,
                          const ConstView& v, const View& out, const View& lse) {
  const int64_t width = q.cols() / a.heads;
  if (!takes_query_mma(width, {&q, &k, &v, &out})) return false;
  const auto m = [](const ConstView& x) { return matrix<const bf16>(x); };
  with_mma_width(width, [&]<int w>() {
    constexpr int groups = groups_of(w);
    launch_queries<w, true>(ctx, "target_attention", target_attention_mma_kernel<w, groups>, a.history,
                            {{no_rows(), {}, {}, {}},
                             {all_rows(a.candidates, groups), m(q), {}, matrix<bf16>(out)},
                             m(k),
                             m(v),
                             a.history.device(),
                             a.heads,
                             {}},
                            Softmax{slope_of(width) / log_of_2, matrix<float>(lse)}, matrix<float>(lse));
  });
  return true;
}

bool target_attention_backward_mma(Context& ctx, const TargetAttention& a, const ConstView& q,
                                   const ConstView& k, const ConstView& v, const ConstView& out,
                                   const ConstView& lse, const ConstView& dout, const View& dq,
                                   const View& dk, const View& dv) {
  const int64_t width = q.cols() / a.heads;
  if (!takes_query_mma(width, {&q, &k, &v, &out, &dout, &dq, &dk, &dv})) return false;
  const char* name = "target_attention_backward";
  const auto m = [](const ConstView& x) { return matrix<const bf16>(x); };
  auto* statistics =
      reinterpret_cast<Statistics*>(ctx.arena().alloc(DType::f32, lse.size(), 2).data<float>());  // pairs
  constexpr int threads = 128;
  launch(ctx, name, statistics_kernel, dim3(divide_up(lse.size() * warp_size, threads)), dim3(threads), 0,
         width, m(out), m(dout), matrix<const float>(lse), statistics);
  const SoftmaxMma rule{slope_of(width) / log_of_2, statistics, q.rows()};
  with_mma_width(width, [&]<int w>() {
    constexpr int groups = groups_of(w);
    launch_queries<w, false>(ctx, name, query_mma_kernel<w, groups, true, SoftmaxMma>, a.history,
                             {{no_rows(), {}, {}, {}},
                              {all_rows(a.candidates, groups), m(q), m(dout), matrix<bf16>(dq)},
                              m(k),
                              m(v),
                              a.history.device(),
                              a.heads,
                              {}},
                             rule);
    const KeyCall keys{all_rows(a.history, groups),
                       m(k),
                       m(v),
                       {},
                       {},
                       m(q),
                       m(dout),
                       a.candidates.device(),
                       matrix<bf16>(dk),
                       matrix<bf16>(dv),
                       a.heads};
    launch_keys<w>(ctx, name, key_mma_kernel<w, groups, SoftmaxMma>, keys, rule);
  });
  return true;
}

}  // namespace lime::cuda
