// The race checker (runtime/emulator/race_check.h) names each kind of race, whatever the order in which the
// emulator runs threads, and nothing that CUDA orders.
#include <gmock/gmock.h>

#include "runtime/cuda_kernel.h"
#include "runtime/cuda_kernel_mma.h"
#include "runtime/cuda_kernel_wgmma.h"
#include "runtime/emulator/race_check.h"
#include "runtime/memory.h"
#include "tests/support/device_support.h"

namespace lime::cuda {
namespace {

using testing::AllOf;
using testing::AnyOf;
using testing::HasSubstr;

const std::string no_race = "no race";

class RaceCheck : public DeviceTest {
 protected:
  RaceCheck() : DeviceTest({DeviceType::cuda, 0}) {}
  void SetUp() override {
    if (!emulator::race::finds_races)
      GTEST_SKIP() << "built without the race checker (preset ci-emulated)";
  }
  // What launches of the kernel come to: several, since threads and blocks change their order with each.
  template <typename... Parameters, typename... Arguments>
  std::string launches(uint32_t blocks, uint32_t threads, void (*kernel)(Parameters...),
                       Arguments... arguments) {
    std::string found;
    for (int i = 0; i < 4; ++i) {
      std::string now = no_race;
      try {
        launch(ctx, "tested", kernel, dim3(blocks), dim3(threads), 8192, arguments...);
        ctx.synchronize();
      } catch (const Error& e) {
        now = e.what();
      }
      if (i > 0 && (now == no_race) != (found == no_race)) return "by chance alone: " + found + now;
      found = now;
    }
    return found;
  }
  template <typename T = float>
  T* data() const {
    return reinterpret_cast<T*>(memory.view().data<float>());
  }

  Tensor memory{ctx.device(), DType::f32, 1, 4096};
};

// A race of one of these kinds: which of two accesses is first is a matter of the order.
auto race(const std::string& one, const std::string& other) {
  return AnyOf(HasSubstr("a race, " + one), HasSubstr("a race, " + other));
}
const auto of_read_and_write = race("read after write", "write after read");
const auto of_writes = HasSubstr("a race, write after write");

enum class By { nothing, block, warp, half_warp, shuffle, vote };

template <By by>
__device__ __forceinline__ void order() {
  if (by == By::block) __syncthreads();
  if (by == By::warp) __syncwarp();
  if (by == By::half_warp) __syncwarp(threadIdx.x % 32 < 16 ? 0xffffu : 0xffff0000u);
  if (by == By::shuffle) static_cast<void>(__shfl_xor_sync(all_lanes, 1, 1));
  if (by == By::vote) static_cast<void>(__any_sync(all_lanes, 1));
}

// Each thread reads what another wrote.
template <By by>
__global__ void exchange_kernel(float* out, uint32_t distance) {
  auto* shared = dynamic_shared<float>();
  shared[threadIdx.x] = 1;
  order<by>();
  out[blockIdx.x * 64 + threadIdx.x] = shared[threadIdx.x ^ distance];
}

TEST_F(RaceCheck, ABarrierOrdersThoseWhoMeetThere) {
  const auto run = [&](auto kernel, uint32_t distance) { return launches(2, 64, kernel, data(), distance); };
  EXPECT_THAT(run(exchange_kernel<By::nothing>, 32), of_read_and_write);
  EXPECT_THAT(run(exchange_kernel<By::warp>, 32), of_read_and_write) << "of another warp";
  EXPECT_EQ(run(exchange_kernel<By::block>, 32), no_race);
  EXPECT_THAT(run(exchange_kernel<By::nothing>, 1), of_read_and_write);
  EXPECT_THAT(run(exchange_kernel<By::shuffle>, 1), of_read_and_write);
  EXPECT_THAT(run(exchange_kernel<By::vote>, 1), of_read_and_write);
  EXPECT_EQ(run(exchange_kernel<By::warp>, 1), no_race);
  EXPECT_THAT(run(exchange_kernel<By::half_warp>, 16), of_read_and_write) << "of the other half";
  EXPECT_EQ(run(exchange_kernel<By::half_warp>, 1), no_race);
  EXPECT_EQ(run(exchange_kernel<By::nothing>, 0), no_race) << "its own";
}

__global__ void two_lanes_kernel(float* out) {
  auto* shared = dynamic_shared<float>();
  if (threadIdx.x == 1) shared[0] = 1;
  __syncthreads();
  if (threadIdx.x == 33) out[0] = shared[0];
  __syncthreads();
  if (threadIdx.x == 2) shared[0] = 2;  // line
}

TEST_F(RaceCheck, BothPlacesAreNamed) {
  EXPECT_EQ(launches(1, 64, two_lanes_kernel, data()), no_race);
  const std::string found = launches(1, 64, exchange_kernel<By::nothing>, data(), 32u);
  EXPECT_THAT(found, AllOf(HasSubstr("kernel 'tested', block (0,0,0), thread ("),
                           HasSubstr("4 bytes of which thread ("), HasSubstr("of dynamic shared memory"),
                           HasSubstr("race_check_test.cu:")));
  EXPECT_NE(found.find("race_check_test.cu:"), found.rfind("race_check_test.cu:")) << found;
}

// A tile that is read and then written again: what stands between its rounds?
template <By before, By after>
__global__ void rounds_kernel(float* out) {
  auto* shared = dynamic_shared<float>();
  float sum = 0;
  for (int round = 0; round < 3; ++round) {
    shared[threadIdx.x] = static_cast<float>(round);
    order<before>();
    sum += shared[(threadIdx.x + 5) % 64];
    order<after>();
  }
  out[threadIdx.x] = sum;
}

TEST_F(RaceCheck, ATileIsNotOverwrittenWhileOthersRead) {
  EXPECT_EQ(launches(1, 64, rounds_kernel<By::block, By::block>, data()), no_race);
  EXPECT_THAT(launches(1, 64, rounds_kernel<By::block, By::nothing>, data()), of_read_and_write);
  EXPECT_THAT(launches(1, 64, rounds_kernel<By::block, By::warp>, data()), of_read_and_write);
  EXPECT_THAT(launches(1, 64, rounds_kernel<By::nothing, By::block>, data()), of_read_and_write);
}

// Some read, one writes.
constexpr uint32_t everybody = 1000;
template <By by>
__global__ void broadcast_kernel(float* out, uint32_t reader) {
  auto* shared = dynamic_shared<float>();
  if (threadIdx.x == 0) shared[0] = 1;
  __syncthreads();
  if (reader == everybody || threadIdx.x == reader) out[threadIdx.x] = shared[0];
  order<by>();
  if (threadIdx.x == 7) shared[0] = 2;
}

TEST_F(RaceCheck, EveryReaderCounts) {
  EXPECT_EQ(launches(1, 32, broadcast_kernel<By::warp>, data(), everybody), no_race);
  EXPECT_THAT(launches(1, 32, broadcast_kernel<By::nothing>, data(), everybody), of_read_and_write);
  EXPECT_THAT(launches(1, 32, broadcast_kernel<By::half_warp>, data(), everybody), of_read_and_write);
  EXPECT_THAT(launches(1, 32, broadcast_kernel<By::half_warp>, data(), 16u), of_read_and_write);
  EXPECT_EQ(launches(1, 32, broadcast_kernel<By::half_warp>, data(), 5u), no_race);
  EXPECT_THAT(launches(1, 64, broadcast_kernel<By::warp>, data(), everybody), of_read_and_write);
  EXPECT_THAT(launches(1, 64, broadcast_kernel<By::warp>, data(), 40u), of_read_and_write);
  EXPECT_EQ(launches(1, 64, broadcast_kernel<By::block>, data(), everybody), no_race);
}

template <typename T>
__global__ void neighbours_kernel(T* out, uint32_t threads_a_value) {
  dynamic_shared<T>()[threadIdx.x / threads_a_value] = static_cast<T>(1);
  out[(blockIdx.x * blockDim.x + threadIdx.x) / threads_a_value] = static_cast<T>(1);
}

TEST_F(RaceCheck, EveryByteIsChecked) {
  EXPECT_EQ(launches(3, 65, neighbours_kernel<uint8_t>, data<uint8_t>(), 1u), no_race);
  EXPECT_EQ(launches(3, 65, neighbours_kernel<uint16_t>, data<uint16_t>(), 1u), no_race);
  EXPECT_THAT(launches(1, 65, neighbours_kernel<uint8_t>, data<uint8_t>(), 2u), of_writes)
      << "of one value is still a race";
  EXPECT_THAT(launches(1, 65, neighbours_kernel<uint16_t>, data<uint16_t>(), 2u), of_writes);
  EXPECT_THAT(launches(1, 65, neighbours_kernel<double>, data<double>(), 2u), of_writes);
}

// Half of a pack is another thread's.
__global__ void halves_kernel(float* out, bool barrier) {
  auto* shared = dynamic_shared<uint16_t>();
  shared[threadIdx.x] = 1;
  if (barrier) __syncthreads();
  out[threadIdx.x] = static_cast<float>(*reinterpret_cast<uint32_t*>(shared + threadIdx.x / 2 * 2));
}

TEST_F(RaceCheck, AnAccessIsAllOfItsBytes) {
  EXPECT_THAT(launches(1, 64, halves_kernel, data(), false), of_read_and_write);
  EXPECT_EQ(launches(1, 64, halves_kernel, data(), true), no_race);
}

template <bool barrier>
__global__ void static_shared_kernel(float* out) {
  __shared__ float of_thread[2][32];
  of_thread[threadIdx.x / 32][threadIdx.x % 32] = 1;
  if (barrier) __syncthreads();
  out[threadIdx.x] = of_thread[1 - threadIdx.x / 32][threadIdx.x % 32];
}

TEST_F(RaceCheck, StaticSharedMemoryIsSharedMemory) {
  EXPECT_THAT(launches(1, 64, static_shared_kernel<false>, data()),
              AllOf(of_read_and_write, HasSubstr("static shared memory")));
  EXPECT_EQ(launches(1, 64, static_shared_kernel<true>, data()), no_race);
}

// Blocks that read what the next has, or write where it does.
__global__ void blocks_kernel(float* x, uint32_t read, uint32_t write) {
  const float value = x[blockIdx.x + read];
  __syncthreads();
  if (threadIdx.x == 0) x[blockIdx.x * write + 100 * (read == 0)] = value;
}

TEST_F(RaceCheck, NothingOrdersBlocks) {
  EXPECT_EQ(launches(3, 64, blocks_kernel, data(), 0u, 1u), no_race);
  EXPECT_THAT(launches(3, 64, blocks_kernel, data(), 1u, 1u),
              AllOf(of_read_and_write, HasSubstr(" of block ("), HasSubstr(" bytes of device memory")));
  EXPECT_THAT(launches(3, 64, blocks_kernel, data(), 0u, 0u), of_writes);
  EXPECT_EQ(launches(1, 64, blocks_kernel, data(), 0u, 0u), no_race) << "and launches are ordered";
}

enum class Copy { right, not_waited, no_barrier, barrier_first, too_early, over_its_own, source_written };

template <Copy how>
__global__ void copy_kernel(float* x, float* out) {
  auto* shared = dynamic_shared<float>();
  const uint32_t t = threadIdx.x;
  if (how == Copy::too_early) out[t] = shared[(4 * t + 128) % 256];
  copy_async(shared + 4 * t, x + 4 * t, true);
  copy_commit();
  if (how == Copy::over_its_own) shared[4 * t] = 1;
  if (how == Copy::barrier_first) __syncthreads();
  if (how == Copy::source_written) {
    __syncthreads();
    x[4 * (t ^ 32)] = 1;
    __syncthreads();
  }
  if (how != Copy::not_waited) copy_wait<0>();
  if (how != Copy::barrier_first && how != Copy::no_barrier) __syncthreads();
  out[t] = shared[4 * (t ^ 32)];
}

TEST_F(RaceCheck, ACopyIsItsThreadsUntilTheWaitAndTheBarrier) {
  const auto run = [&](auto kernel) { return launches(1, 64, kernel, data(), data() + 512); };
  EXPECT_EQ(run(copy_kernel<Copy::right>), no_race);
  EXPECT_THAT(run(copy_kernel<Copy::not_waited>), HasSubstr("is copying to"));
  EXPECT_THAT(run(copy_kernel<Copy::no_barrier>), of_read_and_write);
  EXPECT_THAT(run(copy_kernel<Copy::barrier_first>), of_read_and_write);
  EXPECT_THAT(run(copy_kernel<Copy::too_early>), of_read_and_write);
  EXPECT_THAT(run(copy_kernel<Copy::over_its_own>), AllOf(of_writes, HasSubstr("is copying to")));
  EXPECT_THAT(run(copy_kernel<Copy::source_written>),
              HasSubstr("a race, write before an asynchronous read has ended"));
}

// Rows of 16 bytes, written by their lanes, in fragments; and back.
template <By before, By after>
__global__ void matrices_kernel(float* out) {
  auto* shared = dynamic_shared<uint32_t>();
  const uint32_t lane = threadIdx.x;
  for (uint32_t i = 0; i < 4; ++i) shared[4 * lane + i] = lane;
  order<before>();
  uint32_t r[4];
  ldmatrix(r, shared + 4 * lane);
  order<after>();
  stmatrix(shared_address(shared + 4 * lane), r);
  __syncwarp();
  out[lane] = static_cast<float>(shared[4 * lane]);
}

TEST_F(RaceCheck, LoadsOfMatricesAreNoBarriers) {
  EXPECT_EQ((launches(1, 32, matrices_kernel<By::warp, By::warp>, data())), no_race);
  EXPECT_THAT((launches(1, 32, matrices_kernel<By::nothing, By::warp>, data())), of_read_and_write);
  EXPECT_THAT((launches(1, 32, matrices_kernel<By::warp, By::nothing>, data())), of_read_and_write);
}

template <int written_at>
__global__ void product_kernel(float* out) {
  auto* rows = dynamic_shared<bf16>();
  for (uint32_t i = 0; i < 16; ++i) rows[16 * threadIdx.x + i] = bf16{};
  fence_for_products();
  __syncthreads();
  float d[16];
  uint32_t a[1][4] = {};
  products_begin(d, a);
  wgmma<false>(d, a[0], describe_matrix<64>(shared_address(rows)), false);
  if (written_at >= 0) {
    __syncthreads();
    if (threadIdx.x == 5) rows[written_at] = bf16{};
    __syncthreads();
  }
  products_end(d, a);
  out[threadIdx.x] = d[0];
}

// Of 32 rows of 64 bytes it reads 32 bytes of each.
TEST_F(RaceCheck, OperandsOfProductsAreNotWrittenBeforeTheWait) {
  const auto race_of_product = HasSubstr("a race, write before an asynchronous read has ended");
  EXPECT_EQ(launches(1, 128, product_kernel<-1>, data()), no_race);
  EXPECT_THAT(launches(1, 128, product_kernel<0>, data()), race_of_product);
  EXPECT_THAT(launches(1, 128, product_kernel<31 * 32 + 15>, data()), AnyOf(race_of_product, no_race));
  EXPECT_EQ(launches(1, 128, product_kernel<32 * 32>, data()), no_race) << "behind the last row";
}

enum class Count { atomics, then_read, barrier_then_read, set_first, barrier_after_set };

template <Count how>
__global__ void count_kernel(float* out, uint32_t* count) {
  auto* shared = dynamic_shared<uint32_t>();
  if (how >= Count::set_first && threadIdx.x == 0) shared[0] = 0;
  if (how == Count::barrier_after_set || how < Count::set_first) __syncthreads();
  atomicAdd(shared, 1u);
  atomicAdd(count, 1u);
  if (how == Count::barrier_then_read || how == Count::barrier_after_set) __syncthreads();
  if (how != Count::atomics && threadIdx.x == 40) out[blockIdx.x] = static_cast<float>(shared[0]);
}

TEST_F(RaceCheck, AtomicsRaceWithWhatIsNotAtomic) {
  const auto run = [&](auto kernel) { return launches(2, 64, kernel, data(), data<uint32_t>() + 100); };
  EXPECT_EQ(run(count_kernel<Count::atomics>), no_race);
  EXPECT_THAT(run(count_kernel<Count::then_read>), race("read after", "atomic access after read"));
  EXPECT_EQ(run(count_kernel<Count::barrier_then_read>), no_race);
  EXPECT_THAT(run(count_kernel<Count::set_first>), HasSubstr("a race, "));
  EXPECT_EQ(run(count_kernel<Count::barrier_after_set>), no_race);
}

// One block counts, the others look.
__global__ void look_kernel(float* out, uint32_t* count) {
  if (blockIdx.x == 0) {
    atomicAdd(count, 1u);
  } else {
    out[blockIdx.x] = static_cast<float>(*count);
  }
}

TEST_F(RaceCheck, AtomicsOrderNoBlocks) {
  EXPECT_THAT(launches(3, 1, look_kernel, data(), data<uint32_t>() + 100),
              race("read after write", "atomic access after read"));
}

}  // namespace
}  // namespace lime::cuda
