// What runtime/cuda_kernel.h and cuda_kernel_mma.h offer to kernels, on a GPU or the emulator.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "runtime/cuda_kernel.h"
#include "runtime/cuda_kernel_columns.h"
#include "runtime/cuda_kernel_math.h"
#include "runtime/cuda_kernel_mma.h"
#include "runtime/philox.h"
#include "tests/support/device_support.h"

namespace lime::cuda {
namespace {

class CudaKernel : public DeviceTest {
 protected:
  CudaKernel() : DeviceTest({DeviceType::cuda, 0}) {}
  template <typename T>
  std::vector<T> random(int64_t n, uint64_t seed) const {
    const Philox rng(seed, 1);
    std::vector<T> values;
    for (int64_t i = 0; i < n; ++i) {
      // Few bits: exact as bf16 and TF32, and so are sums of products as f32.
      const auto value = static_cast<float>(rng.below(33, static_cast<uint64_t>(i))) / 8 - 2;
      if constexpr (std::is_same_v<T, bf16>) {
        values.push_back(to_bf16(value));
      } else {
        values.push_back(value);
      }
    }
    return values;
  }
};

__global__ void reduce_kernel(const float* x, float* sums, float* tops, float* of_block) {
  const uint32_t i = thread_in_block();
  sums[i] = warp_sum(x[i]);
  tops[i] = warp_max(x[i]);
  const float first = block_sum(x[i]);
  of_block[i] = block_sum(2 * x[i]) - first;  // twice: scratch is used again
}

TEST_F(CudaKernel, SumsAndMaxima) {
  const int64_t threads = 160;
  const auto x = random<float>(threads, 1);
  const Tensor in = to_device(ctx, x), out(ctx.device(), DType::f32, 3, threads);
  const View sums = out.view().slice_rows(0, 1), tops = out.view().slice_rows(1, 2),
             all = out.view().slice_rows(2, 3);
  launch(ctx, "reduce", reduce_kernel, dim3(1), dim3(threads / 5, 5), 0, in.view().data<float>(),
         sums.data<float>(), tops.data<float>(), all.data<float>());
  const auto got = to_host<float>(ctx, out.view());
  for (size_t i = 0; i < threads; ++i) {
    const auto begin = x.begin() + static_cast<int64_t>(i / 32 * 32);
    EXPECT_EQ(got[i], std::accumulate(begin, begin + 32, 0.0f));
    EXPECT_EQ(got[threads + i], *std::max_element(begin, begin + 32));
    EXPECT_EQ(got[2 * threads + i], std::accumulate(x.begin(), x.end(), 0.0f));
  }
}

__global__ void nan_max_kernel(float* x) {
  x[threadIdx.x] = warp_max(threadIdx.x == 7 ? NAN : static_cast<float>(threadIdx.x));
}

TEST_F(CudaKernel, AMaximumIsNaNWhereALaneIs) {
  const Tensor x(ctx.device(), DType::f32, 1, 32);
  launch(ctx, "nan_max", nan_max_kernel, dim3(1), dim3(32), 0, x.view().data<float>());
  for (const float value : to_host<float>(ctx, x.view())) EXPECT_TRUE(std::isnan(value));
}

__global__ void shuffle_kernel(int* out) {
  const int lane = static_cast<int>(threadIdx.x);
  int* row = out + threadIdx.x;
  row[0] = __shfl_sync(all_lanes, lane, 5, 8);
  row[32] = __shfl_up_sync(all_lanes, lane, 3);
  row[64] = __shfl_down_sync(all_lanes, lane, 3, 16);
  row[96] = __shfl_xor_sync(all_lanes, lane, 9);
  row[128] = static_cast<int>(__ballot_sync(all_lanes, lane % 3 == 0));
  row[160] = __any_sync(all_lanes, lane == 31) + 2 * __all_sync(all_lanes, lane < 31) +
             4 * __all_sync(all_lanes, lane < 32);
  // The halves of a warp by themselves.
  row[192] = lane < 16 ? __shfl_xor_sync(0xffffu, lane, 1) : __shfl_xor_sync(0xffff0000u, lane, 2);
}

TEST_F(CudaKernel, ShufflesAndVotes) {
  const Tensor memory(ctx.device(), DType::i64, 1, 112);
  launch(ctx, "shuffle", shuffle_kernel, dim3(1), dim3(32), 0, static_cast<int*>(memory.view().raw()));
  const auto words = to_host<int64_t>(ctx, memory.view());
  const int* got = reinterpret_cast<const int*>(words.data());
  for (int l = 0; l < 32; ++l) {
    EXPECT_EQ(got[l], l / 8 * 8 + 5);
    EXPECT_EQ(got[32 + l], l < 3 ? l : l - 3);
    EXPECT_EQ(got[64 + l], l % 16 + 3 < 16 ? l + 3 : l);
    EXPECT_EQ(got[96 + l], l ^ 9);
    EXPECT_EQ(static_cast<uint32_t>(got[128 + l]), 0x49249249u);
    EXPECT_EQ(got[160 + l], 1 + 4);
    EXPECT_EQ(got[192 + l], l < 16 ? l ^ 1 : l ^ 2);
  }
}

// c (16 x 8) += a (16 x 16) b (16 x 8), row-major, through the documented fragments.
__global__ void mma_bf16_kernel(const bf16* a, const bf16* b, float* c) {
  const uint32_t g = threadIdx.x / 4, t = threadIdx.x % 4;
  const auto pair = [](bf16 low, bf16 high) { return pack_bf16(to_compute(low), to_compute(high)); };
  const auto at = [&](uint32_t row, uint32_t col) { return pair(a[row * 16 + col], a[row * 16 + col + 1]); };
  const auto bt = [&](uint32_t row) { return pair(b[row * 8 + g], b[(row + 1) * 8 + g]); };
  const uint32_t fa[4] = {at(g, 2 * t), at(g + 8, 2 * t), at(g, 2 * t + 8), at(g + 8, 2 * t + 8)};
  const uint32_t fb[2] = {bt(2 * t), bt(2 * t + 8)};
  float* c0 = c + g * 8 + 2 * t;
  float* c8 = c0 + 64;
  float d[4] = {c0[0], c0[1], c8[0], c8[1]};
  mma_bf16(d, fa, fb);
  c0[0] = d[0], c0[1] = d[1], c8[0] = d[2], c8[1] = d[3];
}

// The same with a from shared memory by ldmatrix and b by ldmatrix_trans.
__global__ void ldmatrix_kernel(const bf16* a, const bf16* b, float* c) {
  bf16* sa = dynamic_shared<bf16>();
  bf16* sb = sa + 16 * 16;  // 16 x 16: the upper half of the columns is b again
  for (uint32_t i = threadIdx.x; i < 256; i += 32) sa[i] = a[i], sb[i] = b[i / 16 * 8 + i % 8];
  __syncthreads();
  const uint32_t lane = threadIdx.x, g = lane / 4, t = lane % 4;
  // Matrices: rows 0-7 and 8-15 of columns 0-7, then of columns 8-15; lane l names row l % 16.
  uint32_t fa[4], fb[4];
  ldmatrix(fa, sa + lane % 16 * 16 + lane / 16 * 8);
  ldmatrix_trans(fb, sb + lane % 16 * 16 + lane / 16 * 8);
  const uint32_t left[2] = {fb[0], fb[1]}, right[2] = {fb[2], fb[3]};
  float d[4] = {}, e[4] = {};
  mma_bf16(d, fa, left);
  mma_bf16(e, fa, right);
  for (uint32_t i = 0; i < 4; ++i) c[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = d[i] == e[i] ? d[i] : NAN;
}

TEST_F(CudaKernel, FragmentsOfBf16) {
  const auto a = random<bf16>(256, 1), b = random<bf16>(128, 2);
  const auto c = random<float>(128, 3);
  const Tensor ta = to_device(ctx, a), tb = to_device(ctx, b), tc = to_device(ctx, c), td = to_device(ctx, c);
  launch(ctx, "mma_bf16", mma_bf16_kernel, dim3(1), dim3(32), 0, ta.view().data<bf16>(),
         tb.view().data<bf16>(), tc.view().data<float>());
  launch(ctx, "ldmatrix", ldmatrix_kernel, dim3(1), dim3(32), 1024, ta.view().data<bf16>(),
         tb.view().data<bf16>(), td.view().data<float>());
  const auto got = to_host<float>(ctx, tc.view()), loaded = to_host<float>(ctx, td.view());
  for (size_t i = 0; i < 16; ++i) {
    for (size_t j = 0; j < 8; ++j) {
      float sum = 0;
      for (size_t k = 0; k < 16; ++k) sum += to_float(a[i * 16 + k]) * to_float(b[k * 8 + j]);
      EXPECT_EQ(loaded[i * 8 + j], sum) << i << ", " << j;
      EXPECT_EQ(got[i * 8 + j], c[i * 8 + j] + sum) << i << ", " << j;
    }
  }
}

__global__ void mma_tf32_kernel(const float* a, const float* b, float* c) {  // 16 x 8 x 8
  const uint32_t g = threadIdx.x / 4, t = threadIdx.x % 4;
  const uint32_t fa[4] = {to_tf32(a[g * 8 + t]), to_tf32(a[(g + 8) * 8 + t]), to_tf32(a[g * 8 + t + 4]),
                          to_tf32(a[(g + 8) * 8 + t + 4])};
  const uint32_t fb[2] = {to_tf32(b[t * 8 + g]), to_tf32(b[(t + 4) * 8 + g])};
  float d[4] = {};
  mma_tf32(d, fa, fb);
  for (uint32_t i = 0; i < 4; ++i) c[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = d[i];
}

TEST_F(CudaKernel, FragmentsOfTf32) {
  const auto a = random<float>(128, 1), b = random<float>(64, 2);
  const Tensor ta = to_device(ctx, a), tb = to_device(ctx, b), tc(ctx.device(), DType::f32, 16, 8);
  launch(ctx, "mma_tf32", mma_tf32_kernel, dim3(1), dim3(32), 0, ta.view().data<float>(),
         tb.view().data<float>(), tc.view().data<float>());
  const auto got = to_host<float>(ctx, tc.view());
  for (size_t i = 0; i < 16; ++i) {
    for (size_t j = 0; j < 8; ++j) {
      float sum = 0;
      for (size_t k = 0; k < 8; ++k) sum += a[i * 8 + k] * b[k * 8 + j];
      EXPECT_EQ(got[i * 8 + j], sum) << i << ", " << j;
    }
  }
}

__global__ void round_kernel(const float* x, float* tf32, bf16* halves, int64_t n) {
  for (int64_t i = threadIdx.x; i < n; i += blockDim.x) {
    tf32[i] = __uint_as_float(to_tf32(x[i]));
    halves[i] = from_compute<bf16>(x[i]);
  }
}

TEST_F(CudaKernel, RoundsAsDocumented) {
  const float tie = 1 + std::ldexp(1.0f, -11), half_tie = 1 + std::ldexp(1.0f, -8);
  const std::vector<float> x = {1,           tie,    -tie,  half_tie, 1 + std::ldexp(3.0f, -8),
                                3.14159274f, 1e-40f, 1e38f, INFINITY, NAN};
  const auto n = static_cast<int64_t>(x.size());
  const Tensor in = to_device(ctx, x), tf32(ctx.device(), DType::f32, 1, n),
               halves(ctx.device(), DType::bf16, 1, n);
  launch(ctx, "round", round_kernel, dim3(1), dim3(32), 0, in.view().data<float>(), tf32.view().data<float>(),
         halves.view().data<bf16>(), n);
  const auto rounded = to_host<float>(ctx, tf32.view());
  EXPECT_EQ(rounded[0], 1);
  EXPECT_EQ(rounded[1], 1 + std::ldexp(1.0f, -10));  // ties away from zero
  EXPECT_EQ(rounded[2], -1 - std::ldexp(1.0f, -10));
  EXPECT_EQ(rounded[8], INFINITY);
  EXPECT_TRUE(std::isnan(rounded[9]));
  const auto got = to_host<bf16>(ctx, halves.view());
  for (size_t i = 0; i < x.size(); ++i) EXPECT_EQ(got[i], to_bf16(x[i])) << x[i];
  EXPECT_EQ(to_float(got[3]), 1);  // ties to even
  EXPECT_EQ(to_float(got[4]), 1 + std::ldexp(1.0f, -6));
}

__global__ void fast_tanh_kernel(float* x, int64_t n) {
  for (int64_t i = threadIdx.x; i < n; i += blockDim.x) x[i] = fast_tanh(x[i]);
}

TEST_F(CudaKernel, FastTanhHasElevenBits) {
  std::vector<float> x = {0, 1e-20f, 1e5f, 1e30f, INFINITY};
  for (float value = 1e-6f; value < 20; value *= 1.01f) x.push_back(value);
  for (size_t i = 0, n = x.size(); i < n; ++i) x.push_back(-x[i]);
  x.push_back(NAN);
  const Tensor memory = to_device(ctx, x);
  launch(ctx, "fast_tanh", fast_tanh_kernel, dim3(1), dim3(32), 0, memory.view().data<float>(),
         memory.cols());
  const auto got = to_host<float>(ctx, memory.view());
  for (size_t i = 0; i + 1 < x.size(); ++i) {
    const double want = std::tanh(double{x[i]});
    EXPECT_NEAR(got[i], want, std::ldexp(1.01, -11) * std::abs(want)) << x[i];
    EXPECT_LE(std::abs(got[i]), 1) << x[i];
    if (std::abs(x[i]) >= 16) {
      EXPECT_EQ(std::abs(got[i]), 1) << x[i];  // SiLU of large negative numbers is 0
    }
  }
  EXPECT_TRUE(std::isnan(got.back()));
}

// Blocks of 64 threads reverse tiles of 64 float4, in two groups; what is past the end is zeros.
__global__ void reverse_kernel(const float* x, int64_t n, float* y) {
  float* tile = dynamic_shared<float>();
  const int64_t begin = int64_t{blockIdx.x} * 512;
  for (int half = 0; half < 2; ++half) {
    const int64_t i = begin + half * 256 + threadIdx.x * 4;
    copy_async(tile + half * 256 + threadIdx.x * 4, i < n ? x + i : x, i < n);
    copy_commit();
  }
  copy_wait<1>();
  __syncthreads();
  for (uint32_t i = threadIdx.x; i < 256; i += 64) y[begin + 511 - i] = tile[i];
  copy_wait<0>();
  __syncthreads();
  for (uint32_t i = 256 + threadIdx.x; i < 512; i += 64) y[begin + 511 - i] = tile[i];
}

TEST_F(CudaKernel, AsynchronousCopies) {
  const int64_t n = 1024, given = 900;
  const auto x = random<float>(n, 4);
  const Tensor in = to_device(ctx, x), out(ctx.device(), DType::f32, 1, n);
  launch(ctx, "reverse", reverse_kernel, dim3(2), dim3(64), 100 * 1024, in.view().data<float>(), given,
         out.view().data<float>());
  const auto got = to_host<float>(ctx, out.view());
  for (int64_t i = 0; i < n; ++i) {
    const int64_t from = i / 512 * 512 + 511 - i % 512;
    EXPECT_EQ(got[static_cast<size_t>(i)], from < given ? x[static_cast<size_t>(from)] : 0) << i;
  }
}

__global__ void atomics_kernel(int* counts, unsigned long long* slot) {
  atomicAdd(counts, 1);
  atomicMax(counts + 1, static_cast<int>(threadIdx.x));
  atomicCAS(slot, 0ull, 7ull);
}

TEST_F(CudaKernel, IntegerAtomics) {
  const Tensor memory(ctx.device(), DType::i64, 1, 2);
  auto* words = memory.view().data<int64_t>();
  launch(ctx, "atomics", atomics_kernel, dim3(3), dim3(64), 0, reinterpret_cast<int*>(words),
         reinterpret_cast<unsigned long long*>(words + 1));
  const auto got = to_host<int64_t>(ctx, memory.view());
  EXPECT_EQ(got[0], 192 + (int64_t{63} << 32));
  EXPECT_EQ(got[1], 7);
}

__global__ void segments_kernel(const int64_t* offsets, int64_t segments, int64_t rows, int64_t* of_row) {
  for (int64_t r = threadIdx.x; r < rows; r += blockDim.x) of_row[r] = segment_of(offsets, segments, r);
}

TEST_F(CudaKernel, FindsSegments) {
  const std::vector<int64_t> offsets = {0, 0, 3, 4, 4, 4, 9}, want = {1, 1, 1, 2, 5, 5, 5, 5, 5};
  const Tensor in = to_device(ctx, offsets), out(ctx.device(), DType::i64, 1, 9);
  launch(ctx, "segments", segments_kernel, dim3(1), dim3(32), 0, in.view().data<int64_t>(), int64_t{6},
         int64_t{9}, out.view().data<int64_t>());
  EXPECT_EQ(to_host<int64_t>(ctx, out.view()), want);
}

__global__ void nothing_kernel() {}

TEST_F(CudaKernel, RefusedLaunchesNameTheKernel) {
  launch(ctx, "nothing", nothing_kernel, dim3(0), dim3(32), 0);  // an empty grid is no launch
  try {
    launch(ctx, "too_wide", nothing_kernel, dim3(1), dim3(2048), 0);
    FAIL();
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("kernel 'too_wide'"), std::string::npos) << e.what();
  }
  EXPECT_THROW(launch(ctx, "too_large", nothing_kernel, dim3(1), dim3(32), 1 << 20), Error);
  launch(ctx, "nothing", nothing_kernel, dim3(1), dim3(32), 0);
  ctx.synchronize();
}

// Whole turns of threads, no more blocks than are asked for, no rows left over: whatever their number.
TEST(ColumnSums, BlocksOfRows) {
  for (const int64_t rows : {1, 16, 17, 1024, 12672, 12673, 32768, 131072, 5'000'000}) {
    const int64_t of_block = columns::rows_a_block(rows), blocks = divide_up(rows, of_block);
    EXPECT_EQ(of_block % columns::turn, 0) << rows;
    EXPECT_LE(blocks, columns::most_row_blocks) << rows;
    EXPECT_GE(blocks, std::min<int64_t>(divide_up(rows, columns::turn), columns::most_row_blocks / 2))
        << rows;
  }
}

}  // namespace
}  // namespace lime::cuda
