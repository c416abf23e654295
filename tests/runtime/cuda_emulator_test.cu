// The emulator finds what a GPU would leave to chance (runtime/emulator/emulator.h). Each kernel here is
// wrong in one way.
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <thread>

#include "runtime/cuda_kernel.h"
#include "runtime/cuda_kernel_math.h"
#include "runtime/cuda_kernel_mma.h"
#include "runtime/cuda_kernel_wgmma.h"
#include "runtime/emulator/race_check.h"
#include "runtime/memory.h"
#include "runtime/primitives.h"
#include "runtime/sanitizer.h"
#include "tests/support/device_support.h"

namespace lime::cuda {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class Emulator : public DeviceTest {
 protected:
  Emulator() : DeviceTest({DeviceType::cuda, 0}) {}
  float* data() const { return memory.view().data<float>(); }
  std::vector<float> values() { return to_host<float>(ctx, memory.view()); }
  template <typename... A>
  std::string message(A... launch_arguments) {
    try {
      launch(ctx, "wrong", launch_arguments...);
      ctx.synchronize();
    } catch (const Error& e) {
      return e.what();
    }
    return "nothing was thrown";
  }

  Tensor memory{ctx.device(), DType::f32, 1, 256};
};

// Threads 32 and up write for the others to read.
template <bool barrier>
__global__ void exchange_kernel(float* out) {
  float* shared = dynamic_shared<float>();
  shared[threadIdx.x] = static_cast<float>(threadIdx.x);
  if (barrier) __syncthreads();
  out[64 * blockIdx.x + threadIdx.x] = shared[threadIdx.x ^ 32];
}

TEST_F(Emulator, AMissingBarrierGivesWrongValues) {
  if (emulator::race::finds_races) GTEST_SKIP() << "the race checker ends the launch first";
  const auto wrong = [&](auto kernel) {
    int count = 0;
    launch(ctx, "exchange", kernel, dim3(1), dim3(64), 256, data());
    const auto got = values();
    for (size_t i = 0; i < 64; ++i) count += !(got[i] == static_cast<float>(i ^ 32));
    return count;
  };
  for (int launches = 0; launches < 10; ++launches) {
    EXPECT_GT(wrong(exchange_kernel<false>), 0);
    EXPECT_EQ(wrong(exchange_kernel<true>), 0);
  }
}

__global__ void order_kernel(unsigned* last) { atomicExch(last, threadIdx.x + 64 * blockIdx.x); }

TEST_F(Emulator, OrdersChangeFromLaunchToLaunch) {
  std::vector<float> seen;
  for (int launches = 0; launches < 10; ++launches) {
    launch(ctx, "order", order_kernel, dim3(8), dim3(64), 0, reinterpret_cast<unsigned*>(data()));
    seen.push_back(values()[0]);
  }
  std::sort(seen.begin(), seen.end());
  EXPECT_GT(std::unique(seen.begin(), seen.end()) - seen.begin(), 5);
}

template <bool wait>
__global__ void copy_kernel(const float* x, float* out) {
  float* shared = dynamic_shared<float>();
  copy_async(shared + 4 * threadIdx.x, x + 4 * threadIdx.x, true);
  copy_commit();
  if (wait) copy_wait<0>();
  __syncthreads();
  out[threadIdx.x] = shared[threadIdx.x];
}

TEST_F(Emulator, AMissingWaitGivesNaN) {
  if (emulator::race::finds_races) GTEST_SKIP() << "the race checker ends the launch first";
  const Tensor x = to_device(ctx, std::vector<float>(256, 5));
  launch(ctx, "copy", copy_kernel<true>, dim3(1), dim3(64), 1024, x.view().data<float>(), data());
  EXPECT_EQ(values()[0], 5);
  launch(ctx, "copy", copy_kernel<false>, dim3(1), dim3(64), 1024, x.view().data<float>(), data());
  const auto got = values();
  for (size_t i = 0; i < 64; ++i) EXPECT_TRUE(std::isnan(got[i]));
}

// A warp starts to copy over what the other may not have read.
__global__ void early_copy_kernel(const float* x, float* out) {
  float* shared = dynamic_shared<float>();
  shared[threadIdx.x] = 1;
  __syncthreads();
  if (threadIdx.x >= 32) copy_async(shared + 4 * (threadIdx.x % 8), x, true);
  copy_commit();
  if (threadIdx.x < 32) out[threadIdx.x] = shared[threadIdx.x];
  __syncthreads();
  copy_wait<0>();
}

TEST_F(Emulator, ACopyThatStartsTooEarlyGivesNaN) {
  if (emulator::race::finds_races) GTEST_SKIP() << "the race checker ends the launch first";
  int launches_with_nan = 0;
  for (int launches = 0; launches < 10; ++launches) {
    launch(ctx, "copy", early_copy_kernel, dim3(1), dim3(64), 256, data(), data() + 128);
    launches_with_nan += std::isnan(values()[128]);
  }
  EXPECT_GT(launches_with_nan, 0);
}

enum class Product { right, unfenced, copies_unfenced, not_waited, left_not_waited, of_three_warps };

// 64 zeros plus zeros.
template <Product how>
__global__ void product_kernel(float* out) {
  auto* rows = dynamic_shared<bf16>();
  copy_async(rows + threadIdx.x * 8, nullptr, false);
  copy_async(rows + (128 + threadIdx.x) * 8, nullptr, false);
  copy_commit();
  copy_wait<0>();
  if (how != Product::copies_unfenced) fence_for_products();
  __syncthreads();
  if (how == Product::of_three_warps && threadIdx.x / 32 == 2) return;
  float d[16];
  uint32_t a[1][4] = {};
  if (how != Product::unfenced) products_begin(d, a);
  wgmma<false>(d, a[0], describe_matrix<64>(shared_address(rows)), false);
  if (how == Product::not_waited) out[threadIdx.x] = d[0];
  if (how == Product::left_not_waited) out[threadIdx.x] = __uint_as_float(a[0][0]);
  products_end(d, a);
  if (how < Product::not_waited) out[threadIdx.x] = d[0] + __uint_as_float(a[0][0]);
}

TEST_F(Emulator, ProductsWantTheirFences) {
  const auto run = [&](auto kernel) { return message(kernel, dim3(1), dim3(128), 4096, data()); };
  EXPECT_THAT(run(product_kernel<Product::unfenced>), HasSubstr("no fence precedes"));
  EXPECT_THAT(run(product_kernel<Product::copies_unfenced>), HasSubstr("has stored and not fenced"));
  EXPECT_THAT(run(product_kernel<Product::of_three_warps>),
              HasSubstr("thread (64,0,0) has issued 0 products, and not all of its warpgroup as many"));
  EXPECT_EQ(run(product_kernel<Product::right>), "nothing was thrown");
  EXPECT_EQ(values()[5], 0);
  EXPECT_EQ(run(product_kernel<Product::not_waited>), "nothing was thrown");
  EXPECT_TRUE(std::isnan(values()[5]));
  EXPECT_EQ(run(product_kernel<Product::left_not_waited>), "nothing was thrown");
  EXPECT_TRUE(std::isnan(values()[5]));
}

__global__ void functions_kernel(float* x) {
  x[0] = fast_tanh(x[0]), x[1] = exponential(x[1]), x[2] = exponential(x[2]);
}

// As far as a GPU's may be, so that tests allow that.
TEST_F(Emulator, FunctionsAreOff) {
  fill(ctx, memory.view(), 0.5);
  fill(ctx, memory.view().slice_cols(2, 3), 0);
  launch(ctx, "functions", functions_kernel, dim3(1), dim3(1), 0, data());
  const auto got = values();
  EXPECT_NEAR(std::abs(got[0] / std::tanh(0.5) - 1), 0x1p-11, 0x1p-20);
  EXPECT_NEAR(std::abs(got[1] / std::exp(0.5) - 1), 0x1p-23, 0x1p-24);
  EXPECT_EQ(got[2], 1);
}

__global__ void misaligned_pack_kernel(float* x, bool store) {
  store ? store_pack(x + 1, Pack<float, 2>{}) : static_cast<void>(x[0] = load_pack<4>(x + 2).at[0]);
}

TEST_F(Emulator, MisalignedPacksAreNamed) {
  for (const bool store : {false, true})
    EXPECT_THAT(message(misaligned_pack_kernel, dim3(1), dim3(1), size_t{0}, data(), store),
                AllOf(HasSubstr("kernel 'wrong', block (0,0,0), thread (0,0,0)"),
                      HasSubstr(store ? "a pack of 8 bytes" : "a pack of 16 bytes")));
}

__global__ void misaligned_copy_kernel(const float* x) { copy_async(dynamic_shared<float>(), x + 1, true); }

TEST_F(Emulator, MisalignedCopiesAreNamed) {
  EXPECT_THAT(
      message(misaligned_copy_kernel, dim3(1), dim3(1), size_t{16}, data()),
      AllOf(HasSubstr("kernel 'wrong', block (0,0,0), thread (0,0,0)"), HasSubstr("not 16-byte aligned")));
}

__global__ void divergent_kernel(bool others_return) {
  if (threadIdx.x < 32) {
    __syncthreads();
  } else if (!others_return) {
    __syncthreads();
  }
}

TEST_F(Emulator, DivergentBarriersAreNamed) {
  EXPECT_THAT(message(divergent_kernel, dim3(1), dim3(64), size_t{0}, true),
              AllOf(HasSubstr("kernel 'wrong', block (0,0,0)"), HasSubstr("32 have returned"),
                    HasSubstr("32 wait at the barrier of cuda_emulator_test.cu:")));
  EXPECT_THAT(message(divergent_kernel, dim3(1), dim3(64), size_t{0}, false), HasSubstr("waits at another"));
  // And it goes on.
  launch(ctx, "order", order_kernel, dim3(1), dim3(64), 0, reinterpret_cast<unsigned*>(data()));
}

__global__ void half_warp_kernel(float* x) {
  if (threadIdx.x < 16) x[threadIdx.x] = __shfl_xor_sync(all_lanes, 1.0f, 1);
}
__global__ void outside_mask_kernel(float* x) {
  if (threadIdx.x < 16) x[threadIdx.x] = __shfl_sync(0xffffu, 1.0f, 20);
}

TEST_F(Emulator, ShufflesWithoutTheirLanesAreNamed) {
  EXPECT_THAT(message(half_warp_kernel, dim3(1), dim3(32), size_t{0}, data()),
              AllOf(HasSubstr("16 have returned"), HasSubstr("16 wait in the warp operation")));
  EXPECT_THAT(message(outside_mask_kernel, dim3(1), dim3(32), size_t{0}, data()),
              HasSubstr("reads from lane 20, which is not in its mask"));
}

__global__ void write_kernel(float* x, int64_t i) { x[i] = 1; }
__global__ void read_kernel(float* x, int64_t i) { x[0] = x[i]; }
__global__ void write_shared_kernel(int64_t i) { dynamic_shared<float>()[i] = 1; }
__global__ void read_shared_kernel(float* x, int64_t i) { x[0] = dynamic_shared<float>()[i]; }

TEST_F(Emulator, WritesOutsideAreFound) {
  if (sanitizer::finds_addresses) GTEST_SKIP() << "AddressSanitizer ends the process first";
  EXPECT_THAT(message(write_kernel, dim3(1), dim3(1), size_t{0}, data(), int64_t{256}),
              HasSubstr("kernel 'wrong' wrote outside an allocation of 1024 bytes, at byte 1024"));
  EXPECT_THAT(message(write_kernel, dim3(1), dim3(1), size_t{0}, data(), int64_t{-1}),
              HasSubstr("bytes before it"));
  EXPECT_THAT(message(write_shared_kernel, dim3(1), dim3(1), size_t{64}, int64_t{16}),
              HasSubstr("wrote at byte 64 of 64 bytes of dynamic shared memory"));
}

TEST_F(Emulator, HostMemoryIsNoArgument) {
  float host[256];
  EXPECT_THAT(message(write_kernel, dim3(1), dim3(1), size_t{0}, static_cast<float*>(host), int64_t{0}),
              HasSubstr("kernel 'wrong' is given host memory"));
}

TEST_F(Emulator, UninitialisedMemoryIsNaN) {
  for (const float value : to_host<float>(ctx, ctx.arena().alloc(DType::f32, 3, 5)))
    EXPECT_TRUE(std::isnan(value));
  for (const double value : to_host<double>(ctx, ctx.arena().alloc(DType::f64, 3, 5)))
    EXPECT_TRUE(std::isnan(value));
}

TEST_F(Emulator, WhatIsCopiedToTheHostArrivesAtTheWait) {
  const Tensor x = to_device(ctx, std::vector<float>(4, 2));
  std::vector<float> host(4, 9);
  copy(ctx, x.view(), View(host.data(), 1, 4));
  EXPECT_TRUE(std::isnan(host[0]));
  Event event(0);
  event.record(ctx.stream());
  float later = 9;
  copy(ctx, x.view().slice_cols(0, 1), View(&later, 1, 1));
  event.synchronize();
  EXPECT_EQ(host[3], 2);
  EXPECT_TRUE(std::isnan(later));
  ctx.synchronize();
  EXPECT_EQ(later, 2);
}

using EmulatorDeathTest = Emulator;

TEST_F(EmulatorDeathTest, AddressSanitizerFindsReadsOutsideToo) {
  if (!sanitizer::finds_addresses) GTEST_SKIP() << "built without AddressSanitizer";
  testing::GTEST_FLAG(death_test_style) = "threadsafe";
  for (const int64_t i : {-1, 256}) {
    EXPECT_DEATH(message(write_kernel, dim3(1), dim3(1), size_t{0}, data(), i), "use-after-poison");
    EXPECT_DEATH(message(read_kernel, dim3(1), dim3(1), size_t{0}, data(), i), "use-after-poison");
  }
  for (const int64_t i : {-1, 16}) {
    EXPECT_DEATH(message(write_shared_kernel, dim3(1), dim3(1), size_t{64}, i), "use-after-poison");
    EXPECT_DEATH(message(read_shared_kernel, dim3(1), dim3(1), size_t{64}, data(), i), "use-after-poison");
  }
  float* given_back = nullptr;
  {
    const Arena::Scope scope(ctx.arena());
    given_back = ctx.arena().alloc(DType::f32, 1, 8).data<float>();
    launch(ctx, "write", write_kernel, dim3(1), dim3(1), 0, given_back, int64_t{7});
  }
  EXPECT_DEATH(message(write_kernel, dim3(1), dim3(1), size_t{0}, given_back, int64_t{7}),
               "use-after-poison");
}

// Threads that a failed launch unwinds, and launches from several host threads, leave no stack behind that
// AddressSanitizer holds for another.
TEST_F(Emulator, FailedLaunchesAndOtherHostThreadsDoNotMatter) {
  for (int launches = 0; launches < 3; ++launches) {
    EXPECT_THAT(message(divergent_kernel, dim3(1), dim3(64), size_t{0}, true), HasSubstr("32 have returned"));
    std::thread([&] {
      EXPECT_THAT(message(misaligned_copy_kernel, dim3(1), dim3(1), size_t{16}, data()),
                  HasSubstr("aligned"));
      launch(ctx, "exchange", exchange_kernel<true>, dim3(2), dim3(64), 256, data());
    }).join();
    launch(ctx, "exchange", exchange_kernel<true>, dim3(2), dim3(64), 256, data());
    EXPECT_EQ(values()[0], 32);
  }
}

TEST_F(EmulatorDeathTest, HostCodeCannotTouchTheDevice) {
  testing::GTEST_FLAG(death_test_style) = "threadsafe";
  const auto killed = [](int status) {
    return sanitizer::finds_addresses ? testing::ExitedWithCode(1)(status)  // and reported
                                      : testing::KilledBySignal(SIGSEGV)(status);
  };
  EXPECT_EXIT(data()[3] = 1, killed, "emulated device memory was touched by host code");
  EXPECT_EXIT(if (data()[3] == 0) std::exit(0), killed, "emulated device memory was touched by host code");
}

}  // namespace
}  // namespace lime::cuda
