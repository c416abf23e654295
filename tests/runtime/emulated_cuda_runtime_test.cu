// The emulated CUDA runtime answers as the documentation says (runtime/emulator/toolkit/cuda_runtime_api.h),
// and cuda_device.h over it does what it promises.
#include <gmock/gmock.h>

#include <cmath>
#include <csignal>
#include <cstdlib>
#include <cub/device/device_radix_sort.cuh>
#include <cub/device/device_scan.cuh>
#include <functional>
#include <thread>

#include "runtime/cuda_kernel.h"
#include "runtime/device_memory.h"
#include "runtime/device_sort.h"
#include "runtime/emulator/work.h"
#include "runtime/memory.h"
#include "runtime/primitives.h"
#include "tests/support/device_support.h"

namespace lime::cuda {
namespace {

using testing::AllOf;
using testing::HasSubstr;

__global__ void set_kernel(float* x, float value) { x[threadIdx.x] = value; }
__global__ void wrong_kernel(float* x) { x[256] = 0; }

class EmulatedCudaRuntime : public DeviceTest {
 protected:
  EmulatedCudaRuntime() : DeviceTest({DeviceType::cuda, 0}) {}
  ~EmulatedCudaRuntime() override {
    EXPECT_EQ(cudaGetLastError(), cudaSuccess) << "an answer that nobody heard";
    unsetenv("LIME_EMULATED_DEVICES");
    cudaSetDevice(0);
  }
  static void have_two_devices() { setenv("LIME_EMULATED_DEVICES", "2", 1); }
  // The last answer, taken from there.
  static void expect_last(cudaError_t expected) {
    EXPECT_EQ(cudaGetLastError(), expected);
    EXPECT_EQ(cudaGetLastError(), cudaSuccess);
  }
  // What a call is refused with.
  static void expect_refused(cudaError_t got, cudaError_t expected) {
    EXPECT_EQ(got, expected);
    expect_last(expected);
  }
  template <typename F>
  static std::string message(F f) {
    try {
      f();
    } catch (const Error& e) {
      return e.what();
    }
    return "nothing was thrown";
  }
  float* data() const { return memory.view().data<float>(); }
  std::vector<float> values() { return to_host<float>(ctx, memory.view()); }
  cudaStream_t stream() { return static_cast<cudaStream_t>(ctx.stream().handle()); }
  void set(float value) { launch(ctx, "set", set_kernel, dim3(1), dim3(4), 0, data(), value); }

  Tensor memory{ctx.device(), DType::f32, 1, 256};
};

TEST_F(EmulatedCudaRuntime, AFailedCallIsKeptUntilItsThreadAsks) {
  EXPECT_EQ(cudaSetDevice(5), cudaErrorInvalidDevice);
  EXPECT_EQ(cudaSetDevice(0), cudaSuccess);  // takes nothing away
  std::thread([] { EXPECT_EQ(cudaGetLastError(), cudaSuccess); }).join();
  EXPECT_EQ(cudaPeekAtLastError(), cudaErrorInvalidDevice);
  expect_last(cudaErrorInvalidDevice);
  EXPECT_STREQ(cudaGetErrorString(cudaErrorInvalidDevice),
               "invalid device ordinal: device 5 of 1 (LIME_EMULATED_DEVICES)");
  EXPECT_STREQ(cudaGetErrorString(cudaErrorInvalidValue), "invalid argument");
}

TEST_F(EmulatedCudaRuntime, ALaunchHearsWhatIsLeft) {
  if (emulator::is_eager()) GTEST_SKIP() << "work is done when it is given";
  const auto left = [&] { return message([&] { set(1); }); };
  set(1);
  Event event(0);
  event.record(ctx.stream());
  EXPECT_FALSE(event.reached());
  EXPECT_EQ(left(), "nothing was thrown") << "reached() leaves nothing behind";
  EXPECT_EQ(cudaStreamQuery(stream()), cudaErrorNotReady);
  EXPECT_THAT(left(), AllOf(HasSubstr("kernel 'set' (grid 1x1x1"), HasSubstr("cudaErrorNotReady")));
  EXPECT_EQ(left(), "nothing was thrown");
  EXPECT_THAT(message([&] { allocate(5, 1); }), HasSubstr("cudaSetDevice(5) failed: cudaErrorInvalidDevice"));
  EXPECT_EQ(left(), "nothing was thrown") << "a failure that was thrown";
}

TEST_F(EmulatedCudaRuntime, PitchesAreRefused) {
  std::vector<float> host(8, 3);
  const auto copy = [&](size_t to_pitch, size_t from_pitch, size_t height) {
    return cudaMemcpy2DAsync(data(), to_pitch, host.data(), from_pitch, 16, height, cudaMemcpyHostToDevice,
                             stream());
  };
  EXPECT_EQ(copy(16, 16, 2), cudaSuccess);
  expect_refused(copy(15, 16, 2), cudaErrorInvalidPitchValue);
  expect_refused(copy(16, 15, 2), cudaErrorInvalidPitchValue);
  expect_refused(copy(size_t{1} << 31, 16, 1), cudaErrorInvalidPitchValue);
  expect_refused(copy(16, size_t{1} << 31, 1), cudaErrorInvalidPitchValue);
  EXPECT_THAT(
      message([&] {
        ctx.stream().to_device(host.data(), 16, data(), 8, {2, 16});
      }),
      HasSubstr("copy to the device failed: cudaErrorInvalidPitchValue: invalid pitch argument: rows of "
                "16 bytes, every 16 to every 8, which may be 2147483647"));
  // One row has no pitch, whatever stands there.
  ctx.stream().to_device(host.data(), size_t{1} << 40, data(), 0, {1, 16});
  ctx.stream().zero(data(), 0, {1, 8});
  expect_refused(cudaMemset2DAsync(data(), 15, 0, 16, 2, stream()), cudaErrorInvalidValue);
  EXPECT_THAT(message([&] {
                ctx.stream().zero(data(), 8, {2, 16});
              }),
              HasSubstr("zero fill failed: cudaErrorInvalidValue"));
  const auto got = values();
  EXPECT_EQ(got[1], 0);
  EXPECT_EQ(got[7], 3);
}

TEST_F(EmulatedCudaRuntime, CopiesAreWhereTheirDirectionSays) {
  std::vector<float> host(4);
  const auto copy = [&](void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
    return message([&] { EXPECT_EQ(cudaMemcpyAsync(to, from, bytes, kind, stream()), cudaSuccess); });
  };
  EXPECT_THAT(copy(host.data(), data(), 16, cudaMemcpyHostToDevice), HasSubstr("outside device memory"));
  EXPECT_THAT(copy(data(), data() + 8, 16, cudaMemcpyHostToDevice), HasSubstr("as host memory"));
  EXPECT_THAT(copy(data(), host.data(), 16, cudaMemcpyDeviceToHost), HasSubstr("outside device memory"));
  EXPECT_THAT(copy(data(), data() + 8, 16, cudaMemcpyDeviceToHost), HasSubstr("as host memory"));
  EXPECT_THAT(copy(data(), host.data(), 16, cudaMemcpyDeviceToDevice), HasSubstr("outside device memory"));
  EXPECT_THAT(copy(data(), data() + 3, 16, cudaMemcpyDeviceToDevice), HasSubstr("overlaps"));
  EXPECT_THAT(copy(data() + 253, host.data(), 16, cudaMemcpyHostToDevice),
              HasSubstr("a copy to the device of 16 bytes outside device memory"));
  EXPECT_EQ(copy(nullptr, nullptr, 0, cudaMemcpyDeviceToDevice), "nothing was thrown");
  expect_refused(cudaMemcpyAsync(data(), host.data(), 4, static_cast<cudaMemcpyKind>(7), stream()),
                 cudaErrorInvalidMemcpyDirection);
}

TEST_F(EmulatedCudaRuntime, PageLockedMemoryIsNotFreedUnderACopy) {
  if (emulator::is_eager()) GTEST_SKIP() << "work is done when it is given";
  for (const bool to_host : {false, true}) {
    {
      const PinnedBuffer buffer(ctx.device(), 16);
      to_host ? ctx.stream().to_host(data(), 16, buffer.data(), 16, {1, 16})
              : ctx.stream().to_device(buffer.data(), 16, data(), 16, {1, 16});
    }
    EXPECT_THAT(
        message([&] { ctx.synchronize(); }),
        HasSubstr(str("page-locked memory was freed under a copy to the ", to_host ? "host" : "device")));
  }
  float host;
  expect_refused(cudaFreeHost(&host), cudaErrorInvalidValue);
}

TEST_F(EmulatedCudaRuntime, TimeIsBetweenTimedEventsThatWereReached) {
  Event untimed(0);
  Event first(0, Event::Timed::yes), second(0, Event::Timed::yes);
  const auto elapsed = [](const Event& from, const Event& to) {
    return message([&] { EXPECT_GE(to.milliseconds_since(from), 0); });
  };
  first.record(ctx.stream());
  EXPECT_THAT(elapsed(first, second), HasSubstr("cudaErrorInvalidResourceHandle")) << "not recorded";
  set(1);
  second.record(ctx.stream());
  untimed.record(ctx.stream());
  EXPECT_THAT(elapsed(first, untimed),
              HasSubstr("cudaErrorInvalidResourceHandle: invalid resource handle: an "
                        "event without timing"));
  if (!emulator::is_eager()) {
    EXPECT_THAT(elapsed(first, second), HasSubstr("cudaErrorNotReady"));
  }
  second.synchronize();
  EXPECT_EQ(elapsed(first, second), "nothing was thrown");
  if (!emulator::is_eager()) {
    EXPECT_GT(second.milliseconds_since(first), 0) << "when the stream came to them";
  }
  second.record(ctx.stream());
  if (!emulator::is_eager()) {
    EXPECT_THAT(elapsed(first, second), HasSubstr("cudaErrorNotReady")) << "recorded again";
  }
}

TEST_F(EmulatedCudaRuntime, DevicesAreToldApart) {
  EXPECT_THAT(message([] { Stream s(1); }), HasSubstr("cudaSetDevice(1) failed: cudaErrorInvalidDevice"));
  EXPECT_THAT(unavailable(1), HasSubstr("no device 1: this process sees 1 GPU;"));
  expect_refused(cudaSetDevice(-1), cudaErrorInvalidDevice);
  have_two_devices();
  EXPECT_EQ(unavailable(1), "");
  EXPECT_NE(identity(0), identity(1));
  Context other({DeviceType::cuda, 1});
  Event event(0), timed(0, Event::Timed::yes), others_timed(1, Event::Timed::yes);
  EXPECT_THAT(message([&] { event.record(other.stream()); }),
              HasSubstr("cudaErrorInvalidResourceHandle: invalid resource handle: an event of device 0 is "
                        "recorded in a stream of device 1"));
  timed.record(ctx.stream());
  others_timed.record(other.stream());
  other.synchronize(), ctx.synchronize();
  EXPECT_THAT(message([&] { others_timed.milliseconds_since(timed); }),
              HasSubstr("events of devices 0 and 1"));

  // Kernels are for the current device, copies for any.
  EXPECT_EQ(cudaSetDevice(1), cudaSuccess);
  const auto start = [&] { emulator::launch({"none", nullptr, dim3(1), dim3(1), 0, stream()}, [] {}); };
  start();
  expect_last(cudaErrorInvalidResourceHandle);
  expect_refused(cudaMemsetAsync(data(), 0, 4, stream()), cudaErrorInvalidResourceHandle);
  EXPECT_EQ(cudaMemcpyAsync(data(), data() + 8, 4, cudaMemcpyDeviceToDevice, stream()), cudaSuccess);
  ctx.stream().zero(data(), 4, {1, 4});
  EXPECT_EQ(cudaSetDevice(1), cudaSuccess);
  const ConstView square(data(), DType::f32, ctx.device(), 16, 16, 16);
  const Tensor product(ctx.device(), DType::f32, 16, 16);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(cudaSetDevice(1), cudaSuccess);
    gemm(ctx, Transpose::no, Transpose::no, 1, square, square, 0, product);
  }
  EXPECT_EQ(cudaSetDevice(1), cudaSuccess);
  set(1);
  start();
  other.stream().wait(event);
  EXPECT_THAT(message([&] { launch(other, "set", set_kernel, dim3(1), dim3(1), 0, data(), 1.0F); }),
              HasSubstr("kernel 'set' on cuda:1 is given memory of cuda:0"));
}

TEST_F(EmulatedCudaRuntime, BlocksHaveTheSharedMemoryThatTheirKernelMayHave) {
  const auto with = [&](size_t bytes) {
    return message([&] { launch(ctx, "set", set_kernel, dim3(1), dim3(1), bytes, data(), 1.0F); });
  };
  EXPECT_EQ(most_shared_bytes(ctx), 227 * 1024);
  EXPECT_THAT(with(227 * 1024 + 1), AllOf(HasSubstr("kernel 'set'"), HasSubstr("cudaErrorInvalidValue")));
  const auto* const kernel = reinterpret_cast<const void*>(&set_kernel);
  const auto start = [&](size_t bytes) {
    emulator::launch({"none", kernel, dim3(1), dim3(1), bytes, stream()}, [] {});
  };
  start(48 * 1024);
  expect_last(cudaSuccess);
  start(48 * 1024 + 1);
  expect_last(cudaErrorInvalidValue);
  EXPECT_EQ(with(100 * 1024), "nothing was thrown");
  start(100 * 1024);
  expect_last(cudaSuccess);
}

TEST_F(EmulatedCudaRuntime, MemoryIsCountedAndEnds) {
  const DeviceMemory before = device_memory(0);
  {
    const auto half = allocate(0, 1 << 20);
    EXPECT_EQ(device_memory(0).free, before.free - (1 << 20));
    EXPECT_EQ(device_memory(0).total, before.total);
  }
  EXPECT_EQ(device_memory(0).free, before.free);
  EXPECT_THAT(message([&] { allocate(0, before.free + 1); }),
              HasSubstr(str("cudaMalloc(", before.free + 1,
                            " bytes on cuda:0) failed: "
                            "cudaErrorMemoryAllocation: out of memory: ",
                            before.free, " bytes are left")));
  EXPECT_EQ(device_memory(0).free, before.free);
  EXPECT_NE(allocate(0, 0), nullptr);
  have_two_devices();
  EXPECT_EQ(device_memory(1).free, before.total) << "that of device 0 is its own";
  void* nothing = &ctx;
  EXPECT_EQ(cudaMalloc(&nothing, 0), cudaSuccess);
  EXPECT_EQ(nothing, nullptr);
  EXPECT_EQ(cudaFree(nullptr), cudaSuccess);
  expect_refused(cudaFree(data() + 1), cudaErrorInvalidValue);
}

TEST_F(EmulatedCudaRuntime, MemoryIsOfItsDeviceAndFreedAfterItsWork) {
  have_two_devices();
  Context other({DeviceType::cuda, 1});
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(cudaSetDevice(0), cudaSuccess);
    const auto bytes = allocate(1, 16);
    launch(other, "set", set_kernel, dim3(1), dim3(4), 0, static_cast<float*>(bytes.get()), 1.0F);
    EXPECT_EQ(cudaSetDevice(0), cudaSuccess);
  }
  other.synchronize();
}

TEST_F(EmulatedCudaRuntime, MemoryIsZeroWhenTheCallReturns) {
  for (int i = 0; i < 4; ++i) {
    const auto zeros = allocate(0, 16, Fill::zeros);
    float host[4] = {1, 1, 1, 1};
    ctx.stream().to_host(zeros.get(), 16, host, 16, {1, 16});
    launch(ctx, "set", set_kernel, dim3(1), dim3(4), 0, static_cast<float*>(zeros.get()), 5.0F);
    ctx.synchronize();
    EXPECT_EQ(host[3], 0);
    EXPECT_EQ(cudaStreamSynchronize(nullptr), cudaSuccess);
    ctx.stream().to_host(zeros.get(), 16, host, 16, {1, 16});
    ctx.synchronize();
    EXPECT_EQ(host[3], 5) << "filled later";
  }
}

// Other streams may do theirs before a wait, or not: here none is waited for but this one.
TEST_F(EmulatedCudaRuntime, TheNullStreamAndBlockingStreamsWaitForEachOther) {
  if (emulator::is_eager()) GTEST_SKIP() << "work is done when it is given";
  cudaStream_t blocking = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&blocking, cudaStreamDefault), cudaSuccess);
  int passed_by = 0;
  for (int round = 0; round < 20; ++round) {
    set(1);
    ctx.synchronize();
    EXPECT_EQ(cudaMemset(data(), 0, 4), cudaSuccess);
    ctx.stream().copy(data(), data() + 8, 4);  // does not wait
    ctx.synchronize();
    EXPECT_EQ(cudaMemcpyAsync(data() + 9, data(), 4, cudaMemcpyDeviceToDevice, blocking), cudaSuccess);
    EXPECT_EQ(cudaMemset(data(), 0xff, 4), cudaSuccess);
    EXPECT_EQ(cudaStreamSynchronize(nullptr), cudaSuccess);
    const auto got = values();
    passed_by += got[8] == 1;
    EXPECT_EQ(got[9], 0);
    EXPECT_TRUE(std::isnan(got[0]));
  }
  EXPECT_GT(passed_by, 0);
  EXPECT_EQ(cudaStreamDestroy(blocking), cudaSuccess);
}

TEST_F(EmulatedCudaRuntime, AStreamIsAskedAndGoesOn) {
  EXPECT_EQ(cudaStreamQuery(stream()), cudaSuccess) << "nothing to do";
  if (emulator::is_eager()) GTEST_SKIP() << "work is done when it is given";
  float host = 0;
  set(7);
  ctx.stream().to_host(data(), 4, &host, 4, {1, 4});
  expect_refused(cudaStreamQuery(stream()), cudaErrorNotReady);
  EXPECT_TRUE(std::isnan(host));
  EXPECT_EQ(cudaStreamQuery(stream()), cudaSuccess);
  EXPECT_EQ(host, 7);
}

TEST_F(EmulatedCudaRuntime, WhatIsGoneIsNoHandle) {
  cudaStream_t gone = nullptr;
  cudaEvent_t event = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&gone, cudaStreamNonBlocking), cudaSuccess);
  ASSERT_EQ(cudaEventCreateWithFlags(&event, cudaEventDefault), cudaSuccess);
  EXPECT_EQ(cudaStreamDestroy(gone), cudaSuccess);
  EXPECT_EQ(cudaEventDestroy(event), cudaSuccess);
  expect_refused(cudaStreamSynchronize(gone), cudaErrorInvalidResourceHandle);
  expect_refused(cudaStreamDestroy(gone), cudaErrorInvalidResourceHandle);
  expect_refused(cudaEventRecord(event, stream()), cudaErrorInvalidResourceHandle);
  expect_refused(cudaEventDestroy(event), cudaErrorInvalidResourceHandle);
  expect_refused(cudaStreamCreateWithFlags(&gone, 2), cudaErrorInvalidValue);
  expect_refused(cudaEventCreateWithFlags(&event, 1), cudaErrorInvalidValue);
}

// A stream that ends before its work is done does that later, if it was not waited for.
TEST_F(EmulatedCudaRuntime, StreamsEndAfterTheirWork) {
  cudaStream_t ended = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&ended, cudaStreamNonBlocking), cudaSuccess);
  set(1);
  ctx.synchronize();
  EXPECT_EQ(cudaMemsetAsync(data(), 0, 4, ended), cudaSuccess);
  EXPECT_EQ(cudaStreamDestroy(ended), cudaSuccess);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  EXPECT_EQ(values()[0], 0);
  { Context(ctx.device()).stream().zero(data() + 1, 4, {1, 4}); }
  EXPECT_EQ(values()[1], 0) << "~Stream waits";
}

using EmulatedCudaRuntimeDeathTest = EmulatedCudaRuntime;

TEST_F(EmulatedCudaRuntimeDeathTest, AFailureThatNobodyHearsEndsTheProcess) {
  if (emulator::is_eager()) GTEST_SKIP() << "work is done when it is given";
  testing::GTEST_FLAG(death_test_style) = "threadsafe";
  const auto fail = [&](bool leave) {
    Context own(ctx.device());
    launch(own, "wrong", wrong_kernel, dim3(1), dim3(1), 0, data());
    if (leave) throw Error("left");
  };
  EXPECT_EXIT(fail(false), testing::KilledBySignal(SIGABRT),
              "emulated device: kernel 'wrong' wrote outside .*, found when its stream ended");
  EXPECT_EQ(message([&] { fail(true); }), "left");
}

TEST_F(EmulatedCudaRuntime, SortsMakeTheirDeviceCurrent) {
  have_two_devices();
  auto* const keys = reinterpret_cast<uint64_t*>(data());
  auto* const numbers = reinterpret_cast<uint32_t*>(data() + 32);
  KeyValues pairs{keys, numbers}, other{keys + 8, numbers + 8};
  cudaSetDevice(1);
  sort_pairs(ctx, pairs, other, 8, 0, 8);
  cudaSetDevice(1);
  running_sums(ctx, keys, keys, 8);
  ctx.synchronize();
}

TEST_F(EmulatedCudaRuntime, CubAsksForScratchMemory) {
  auto* const keys = reinterpret_cast<uint64_t*>(data());
  auto* const numbers = reinterpret_cast<uint32_t*>(data() + 32);
  cub::DoubleBuffer<uint64_t> k(keys, keys + 8);
  cub::DoubleBuffer<uint32_t> v(numbers, numbers + 8);
  size_t bytes = 0;
  const auto sort = [&](void* scratch) {
    return cub::DeviceRadixSort::SortPairs(scratch, bytes, k, v, 8, 0, 8, stream());
  };
  const auto sum = [&](void* scratch) {
    return cub::DeviceScan::InclusiveSum(scratch, bytes, keys, keys, 8, stream());
  };
  for (const auto& call : {std::function<cudaError_t(void*)>(sort), std::function<cudaError_t(void*)>(sum)}) {
    bytes = 0;
    EXPECT_EQ(call(nullptr), cudaSuccess);
    EXPECT_GT(bytes, 0u);
    EXPECT_EQ(k.selector, 0);
    const auto scratch = allocate(0, bytes);
    std::vector<char> host(bytes);
    EXPECT_THAT(message([&] { call(host.data()); }), HasSubstr("memory that is not the device's"));
    k.selector = v.selector = 0;
    --bytes;
    expect_refused(call(scratch.get()), cudaErrorInvalidValue);
    ++bytes;
    k.selector = v.selector = 0;
    EXPECT_EQ(cudaSetDevice(3), cudaErrorInvalidDevice);
    expect_refused(call(scratch.get()), cudaErrorInvalidDevice);  // left behind by another call
    k.selector = v.selector = 0;
    have_two_devices();
    cudaSetDevice(1);
    expect_refused(call(scratch.get()), cudaErrorInvalidResourceHandle);
    cudaSetDevice(0);
    k.selector = v.selector = 0;
  }
}

}  // namespace
}  // namespace lime::cuda
