// Products of warpgroups (runtime/cuda_kernel_wgmma.h) against sums in f64: each way that either side may lie
// in shared memory, on a GPU of compute capability 9.0 or the emulator.
#include <gtest/gtest.h>

#include "runtime/cuda_kernel_wgmma.h"
#include "runtime/philox.h"
#include "runtime/primitives.h"
#include "tests/support/device_support.h"

namespace lime::cuda {
namespace {

constexpr int groups = 2;

// Element (r, c) of a matrix of rows of `width` bf16, swizzled.
template <int width>
__device__ int swizzled(int r, int c) {
  const int piece = c / 8 ^ (width == 64 ? r % 8 : r / 2 % 4);
  return r * width + piece * 8 + c % 8;
}

// c = 2 a b, for each group: its 64 x depth of a, depth x n of b, row-major. `width` columns has a row of b
// in shared memory, as it is (by rows) or transposed.
template <int width, bool a_held, bool a_by_rows, bool b_by_rows>
__global__ void product_kernel(const bf16* a, const bf16* b, float* c) {
  constexpr int depth = b_by_rows ? 64 : width, n = b_by_rows ? width : 64, a_width = a_by_rows ? 64 : depth;
  if constexpr (compiled_for_wgmma) {
    auto* shared_b = dynamic_shared<bf16>();
    const int thread = static_cast<int>(threadIdx.x), group = thread / warpgroup_size,
              warp = thread / warp_size % 4, lane = thread % warp_size;
    bf16* shared_a = shared_b + 64 * 64 * (1 + group);
    a += group * 64 * depth, c += group * 64 * n;
    for (int i = thread; i < depth * n; i += groups * warpgroup_size)
      shared_b[b_by_rows ? swizzled<width>(i / n, i % n) : swizzled<width>(i % n, i / n)] = b[i];
    for (int i = thread % warpgroup_size; i < 64 * depth; i += warpgroup_size)
      shared_a[a_by_rows ? swizzled<a_width>(i % depth, i / depth)
                         : swizzled<a_width>(i / depth, i % depth)] = a[i];
    fence_for_products();
    __syncthreads();
    uint32_t held[a_held ? depth / 16 : 1][4] = {};
    if constexpr (a_held) {
      for (int k = 0; k < depth / 16; ++k)
        ldmatrix(held[k], shared_a + swizzled<depth>(16 * warp + lane % 16, 16 * k + lane / 16 * 8));
    }
    const MatrixDescriptor left = describe_matrix<2 * a_width>(shared_address(shared_a)),
                           right = describe_matrix<2 * width>(shared_address(shared_b));
    float d[n / 2];
    products_begin(d, held);
    for (int k = 0; k < 2 * depth / 16; ++k) {
      const int at = k % (depth / 16);
      const MatrixDescriptor y = right + at * (b_by_rows ? 16 * 2 * width : 32);
      if constexpr (a_held) {
        wgmma<b_by_rows>(d, held[at], y, k > 0);
      } else {
        wgmma<a_by_rows, b_by_rows>(d, left + at * (a_by_rows ? 16 * 2 * a_width : 32), y, k > 0);
      }
    }
    products_end(d, held);
    for (int i = 0; i < n / 2; ++i)
      c[(16 * warp + lane / 4 + i / 2 % 2 * 8) * n + i / 4 * 8 + lane % 4 * 2 + i % 2] = d[i];
  } else {
    refuse_to_run();
  }
}

class Wgmma : public DeviceTest {
 protected:
  Wgmma() : DeviceTest({DeviceType::cuda, 0}) {}

  static std::vector<bf16> random(int n, uint64_t seed) {
    const Philox rng(seed, 1);
    std::vector<bf16> x(static_cast<size_t>(n));
    for (size_t i = 0; i < x.size(); ++i) x[i] = to_bf16(static_cast<float>(rng.normal(i)));
    return x;
  }
  Tensor to_device(const std::vector<bf16>& x) {
    Tensor out(ctx.device(), DType::bf16, 1, static_cast<int64_t>(x.size()));
    copy(ctx, ConstView(x.data(), 1, static_cast<int64_t>(x.size())), out);
    return out;
  }

  template <int width, bool a_held, bool a_by_rows, bool b_by_rows>
  void check() {
    constexpr int depth = b_by_rows ? 64 : width, n = b_by_rows ? width : 64;
    const std::vector<bf16> a = random(groups * 64 * depth, 1), b = random(depth * n, 2);
    const Tensor on_a = to_device(a), on_b = to_device(b), c(ctx.device(), DType::f32, groups * 64, n);
    launch(ctx, "product", product_kernel<width, a_held, a_by_rows, b_by_rows>, dim3(1),
           dim3(groups * warpgroup_size), (1 + groups) * 64 * 64 * sizeof(bf16), on_a.view().data<bf16>(),
           on_b.view().data<bf16>(), c.view().data<float>());
    const auto got = to_host<float>(ctx, c.view());
    for (int r = 0; r < groups * 64; ++r) {
      for (int col = 0; col < n; ++col) {
        double sum = 0;
        for (int k = 0; k < depth; ++k)
          sum += 2.0 * to_float(a[static_cast<size_t>(r * depth + k)]) *
                 to_float(b[static_cast<size_t>(k * n + col)]);
        ASSERT_NEAR(got[static_cast<size_t>(r * n + col)], sum, 1e-4) << "row " << r << ", column " << col;
      }
    }
  }
};

#define LIME_WGMMA_TEST(name, ...)                                                      \
  TEST_F(Wgmma, name) {                                                                 \
    if (!wgmma_in_use(ctx)) GTEST_SKIP() << "no products of warpgroups on this device"; \
    check<__VA_ARGS__>();                                                               \
  }
LIME_WGMMA_TEST(ScoresOfRegistersNarrow, 32, true, false, false)
LIME_WGMMA_TEST(ScoresOfRegisters, 64, true, false, false)
LIME_WGMMA_TEST(ScoresOfSharedNarrow, 32, false, false, false)
LIME_WGMMA_TEST(ScoresOfShared, 64, false, false, false)
LIME_WGMMA_TEST(SumsOfRegistersNarrow, 32, true, false, true)
LIME_WGMMA_TEST(SumsOfRegisters, 64, true, false, true)
LIME_WGMMA_TEST(SumsOfSharedNarrow, 32, false, false, true)
LIME_WGMMA_TEST(SumsOfShared, 64, false, false, true)
LIME_WGMMA_TEST(SumsOfTransposedNarrow, 32, false, true, true)
LIME_WGMMA_TEST(SumsOfTransposed, 64, false, true, true)
#undef LIME_WGMMA_TEST

// What ldmatrix has read, stmatrix writes back.
__global__ void copy_matrices_kernel(const bf16* from, bf16* to) {
  if constexpr (compiled_for_wgmma) {
    auto* x = dynamic_shared<bf16>();
    bf16* y = x + 256;
    for (uint32_t i = threadIdx.x; i < 256; i += 32) x[i] = from[i];
    __syncwarp();
    const uint32_t at = threadIdx.x % 16 * 16 + threadIdx.x / 16 * 8;
    uint32_t r[4];
    ldmatrix(r, x + at);
    stmatrix(shared_address(y + at), r);
    __syncwarp();
    for (uint32_t i = threadIdx.x; i < 256; i += 32) to[i] = y[i];
  }
}

TEST_F(Wgmma, MatricesGoBack) {
  if (!wgmma_in_use(ctx)) GTEST_SKIP() << "no stmatrix on this device";
  const std::vector<bf16> x = random(256, 3);
  const Tensor from = to_device(x), to(ctx.device(), DType::bf16, 1, 256);
  launch(ctx, "copy_matrices", copy_matrices_kernel, dim3(1), dim3(32), 1024, from.view().data<bf16>(),
         to.view().data<bf16>());
  const auto got = to_host<bf16>(ctx, to.view());
  for (size_t i = 0; i < x.size(); ++i) ASSERT_EQ(got[i].bits, x[i].bits) << i;
}

TEST_F(Wgmma, CanBeForbidden) {
  allow_wgmma(false);
  const bool forbidden = !wgmma_in_use(ctx);
  allow_wgmma(true);
  EXPECT_TRUE(forbidden);
#ifdef LIME_CUDA_EMULATED
  EXPECT_TRUE(wgmma_in_use(ctx));
#endif
}

}  // namespace
}  // namespace lime::cuda
