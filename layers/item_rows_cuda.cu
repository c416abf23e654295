// Item rows on CUDA. Rows are decoded where they are used: a block scores 32 candidates, whose weights come
// through shared memory into sums of f32, 64 hidden columns at a time; logits are summed over those in order.
#include <cstring>

#include "layers/cuda_kernels.h"
#include "runtime/cuda_kernel.h"
#include "runtime/cuda_kernel_math.h"
#include "runtime/cuda_kernel_rows.h"
#include "runtime/f16.h"

namespace lime::cuda {

namespace {

constexpr int block_rows = 32, block_columns = 64, depth = 32;
constexpr dim3 block_threads(16, 16);

__device__ __forceinline__ float decoded(float x) { return x; }
// The exponent's offset is 15, not 127; subnormal numbers come out right, and infinities are not stored.
__device__ __forceinline__ float decoded(f16 x) {
  const float magnitude = __uint_as_float(static_cast<uint32_t>(x.bits & 0x7fff) << 13) * 0x1p112f;
  return x.bits & 0x8000 ? -magnitude : magnitude;
}
__device__ __forceinline__ float decoded(int8_t x) { return static_cast<float>(x); }

// Item rows on the device, and which of them are asked for.
template <typename Stored>
struct Chosen {
  const Stored* values;
  const float* scales;  // of i8, else null
  const int32_t* row;
  int64_t count, weights, hidden;

  __device__ const Stored* at(int64_t i) const { return values + row[i] * (weights + hidden); }
  __device__ float scale(int64_t i, int64_t column) const {
    return scales ? scales[2 * int64_t{row[i]} + (column < weights ? 0 : 1)] : 1.0f;
  }
};

template <typename Stored, typename T>
struct Decode {
  Chosen<Stored> chosen;
  Matrix<T> out;
  template <int N>
  __device__ void at(int64_t i, int64_t c) const {
    const auto pack = load_pack<N>(chosen.at(i) + c);
    float x[N];
    for (int n = 0; n < N; ++n) x[n] = decoded(pack.at[n]) * chosen.scale(i, c + n);
    store(x, out.row(i) + c);
  }
};

struct Score {
  Matrix<const float> mix, out;  // weights x hidden, tasks x hidden
  const float *base, *bias;
  Matrix<float> logits;
};

// Grid: 32 candidates each. Thread (x, y) has candidates y, y + 16 and columns x + 16 j of 64. Dynamic shared
// memory: candidates x tasks.
template <typename Stored>
__global__ void __launch_bounds__(256) score_kernel(Chosen<Stored> chosen, Score score) {
  __shared__ float p[block_rows][depth + 1], m[depth][block_columns];
  float* sums = dynamic_shared<float>();
  const int64_t first = int64_t{blockIdx.x} * block_rows, tasks = score.out.rows;
  const uint32_t thread = thread_in_block();
  for (int64_t column = 0; column < chosen.hidden; column += block_columns) {
    float product[2][4] = {};
    for (int64_t w = 0; w < chosen.weights; w += depth) {
      __syncthreads();  // p and m have been read
      for (uint32_t i = thread; i < block_rows * depth; i += 256) {
        const int64_t row = i / depth, k = i % depth;
        p[row][k] = first + row < chosen.count && w + k < chosen.weights
                        ? decoded(chosen.at(first + row)[w + k])
                        : 0.0f;
      }
      for (uint32_t i = thread; i < depth * block_columns; i += 256) {
        const int64_t k = i / block_columns, c = i % block_columns;
        m[k][c] =
            w + k < chosen.weights && column + c < chosen.hidden ? score.mix.row(w + k)[column + c] : 0.0f;
      }
      __syncthreads();
#pragma unroll 8
      for (int k = 0; k < depth; ++k)
#pragma unroll
        for (int i = 0; i < 2; ++i)
#pragma unroll
          for (int j = 0; j < 4; ++j)
            product[i][j] = fmaf(p[threadIdx.y + 16 * i][k], m[k][threadIdx.x + 16 * j], product[i][j]);
    }
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int64_t row = threadIdx.y + 16 * i, candidate = first + row;
      const bool there = candidate < chosen.count;
      float active[4] = {};
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const int64_t c = column + threadIdx.x + 16 * j;
        if (!there || c >= chosen.hidden) continue;
        const float share = decoded(chosen.at(candidate)[chosen.weights + c]);
        active[j] = silu(fmaf(chosen.scale(candidate, 0), product[i][j],
                              fmaf(chosen.scale(candidate, chosen.weights), share, score.base[c])));
      }
      for (int64_t t = 0; t < tasks; ++t) {
        float sum = 0;
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          const int64_t c = column + threadIdx.x + 16 * j;
          if (c < chosen.hidden) sum = fmaf(active[j], score.out.row(t)[c], sum);
        }
        for (int distance = 8; distance > 0; distance /= 2) sum += __shfl_xor_sync(all_lanes, sum, distance);
        if (threadIdx.x != 0) continue;
        float& total = sums[row * tasks + t];
        total = column == 0 ? sum : total + sum;
        if (there && column + block_columns >= chosen.hidden)
          score.logits.row(candidate)[t] = score.bias[t] + total;
      }
    }
  }
}

// Calls f(Chosen<Stored>) with the rows' numbers on the device.
template <typename F>
void with_chosen(Context& ctx, const ItemRows& rows, std::span<const int32_t> chosen, F f) {
  const Arena::Scope scope(ctx.arena());
  const auto count = static_cast<int64_t>(chosen.size());
  // The arena's types have none of 32 bits that is whole.
  auto* row = reinterpret_cast<int32_t*>(ctx.arena().alloc(DType::f32, 1, count).data<float>());
  const size_t bytes = chosen.size_bytes();
  ctx.stream().to_device(chosen.data(), bytes, row, bytes, {1, bytes});
  const auto call = [&]<typename Stored>(const Stored* values) {
    f(Chosen<Stored>{values, rows.type == RowType::i8 ? rows.scales : nullptr, row, count, rows.weights,
                     rows.hidden});
  };
  rows.type == RowType::f32   ? call(static_cast<const float*>(rows.values))
  : rows.type == RowType::f16 ? call(static_cast<const f16*>(rows.values))
                              : call(static_cast<const int8_t*>(rows.values));
}

}  // namespace

void decode_rows(Context& ctx, const ItemRows& rows, std::span<const int32_t> chosen, View out) {
  if (out.empty()) return;
  with_chosen(ctx, rows, chosen, [&]<typename Stored>(const Chosen<Stored>& of) {
    with_row_type(out.dtype(), [&]<typename T>(T) {
      constexpr int width = 4;
      const auto at_fours = [](const void* p, int64_t stride, size_t element) {
        return reinterpret_cast<uintptr_t>(p) % (width * element) == 0 && stride % width == 0;
      };
      const bool packs = out.cols() % width == 0 && at_fours(rows.values, rows.columns(), sizeof(Stored)) &&
                         at_fours(out.raw(), out.stride(), sizeof(T));
      const auto decode = [&]<int N>() {
        if constexpr (std::is_same_v<Compute<T>, float>)
          each_pack_of<N>(ctx, "decode_rows", Decode<Stored, T>{of, matrix<T>(out)}, out.rows(), out.cols());
      };
      packs ? decode.template operator()<width>() : decode.template operator()<1>();
    });
  });
}

void score_rows(Context& ctx, const ItemRows& rows, std::span<const int32_t> chosen,
                const RequestShare& request, const ScoreTail& tail, View logits) {
  if (logits.empty()) return;
  with_chosen(ctx, rows, chosen, [&]<typename Stored>(const Chosen<Stored>& of) {
    const Score score{matrix<const float>(request.mix), matrix<const float>(tail.out),
                      request.base.data<float>(), tail.bias.data<float>(), matrix<float>(logits)};
    launch(ctx, "score_rows", score_kernel<Stored>, dim3(divide_up(of.count, block_rows)), block_threads,
           static_cast<size_t>(block_rows * logits.cols()) * sizeof(float), of, score);
  });
}

}  // namespace lime::cuda
