// The emulator's streams do their work when somebody waits for it (runtime/emulator/work.h), so that who does
// not wait is found.
#include <gtest/gtest.h>

#include "runtime/cuda_kernel.h"
#include "runtime/cuda_kernel_mma.h"
#include "runtime/emulator/work.h"
#include "runtime/memory.h"
#include "runtime/primitives.h"
#include "tests/support/device_support.h"

namespace lime::cuda {
namespace {

__global__ void set_kernel(float* x, float value) { x[threadIdx.x] = value; }
__global__ void read_kernel(const float* x, float* out) { out[threadIdx.x] = x[threadIdx.x]; }
__global__ void misaligned_kernel(const float* x) { copy_async(dynamic_shared<float>(), x + 1, true); }

class EmulatedStreams : public DeviceTest {
 protected:
  EmulatedStreams() : DeviceTest({DeviceType::cuda, 0}) {}
  float* data() const { return memory.view().data<float>(); }
  std::vector<float> values() { return to_host<float>(ctx, memory.view()); }

  // A stream writes, another reads, and the first writes again: how often the other has read something else.
  int wrong_reads(bool reader_waits, bool writer_waits) {
    int wrong = 0;
    for (int round = 1; round <= 20; ++round) {
      const auto value = static_cast<float>(round);
      launch(ctx, "set", set_kernel, dim3(1), dim3(64), 0, data(), value);
      if (reader_waits) follow(ctx, beside);
      launch(beside, "read", read_kernel, dim3(1), dim3(64), 0, data(), data() + 128);
      if (writer_waits) follow(beside, ctx);
      launch(ctx, "set", set_kernel, dim3(1), dim3(64), 0, data(), -value);
      ctx.synchronize();
      beside.synchronize();
      wrong += values()[128] != value;
    }
    return wrong;
  }
  static void follow(Context& first, Context& then) {
    Event event(0);
    event.record(first.stream());
    then.stream().wait(event);
  }

  Tensor memory{ctx.device(), DType::f32, 1, 256};
  Context beside{ctx.device()};
};

TEST_F(EmulatedStreams, AMissingWaitGivesWrongValues) {
  EXPECT_EQ(wrong_reads(true, true), 0);
  if (emulator::is_eager()) GTEST_SKIP() << "work is done when it is given";
  EXPECT_GT(wrong_reads(false, true), 0);
  EXPECT_GT(wrong_reads(true, false), 0);
}

TEST_F(EmulatedStreams, PageLockedMemoryIsReadWhenTheCopyIsWaitedFor) {
  const PinnedBuffer pinned(ctx.device(), sizeof(float));
  float& host = pinned.as<float>()[0];
  Stream copies(0);
  const auto send = [&](float value) {
    host = value;
    copies.to_device(&host, sizeof host, data(), sizeof host, {1, sizeof host});
  };
  send(1);
  Event sent(0);
  sent.record(copies);
  EXPECT_FALSE(sent.reached());
  ctx.stream().wait(sent);
  EXPECT_EQ(values()[0], 1);
  EXPECT_TRUE(sent.reached());
  send(2);
  host = 3;  // too soon
  copies.synchronize();
  EXPECT_EQ(values()[0], 3);
  ctx.stream().to_device(&host, sizeof host, data(), sizeof host, {1, sizeof host});
  fill(ctx, memory.view(), 4);  // in the stream's order
  EXPECT_EQ(values()[0], 4);
}

// One behind the other, all of it after the host has changed what the first of them reads.
TEST_F(EmulatedStreams, WorkIsNotDoneBeforeTheHostWaits) {
  if (emulator::is_eager()) GTEST_SKIP() << "work is done when it is given";
  const PinnedBuffer pinned(ctx.device(), sizeof(float));
  pinned.as<float>()[0] = 1;
  fill(ctx, memory.view(), 5);
  ctx.synchronize();
  ctx.stream().to_device(pinned.data(), sizeof(float), data(), sizeof(float), {1, sizeof(float)});
  launch(ctx, "read", read_kernel, dim3(1), dim3(1), 0, data(), data() + 1);
  ctx.stream().copy(data() + 1, data() + 2, sizeof(float));
  ctx.stream().zero(data() + 1, sizeof(float), {1, sizeof(float)});
  pinned.as<float>()[0] = 2;  // too soon
  const auto got = values();
  EXPECT_EQ(got[0], 2);
  EXPECT_EQ(got[1], 0);
  EXPECT_EQ(got[2], 2);
}

TEST_F(EmulatedStreams, MemoryIsFreedAfterAllWork) {
  std::vector<float> got(64);
  {
    const Tensor x(ctx.device(), DType::f32, 1, 64);
    launch(beside, "set", set_kernel, dim3(1), dim3(64), 0, x.view().data<float>(), 3.0F);
    copy(beside, x.view(), View(got.data(), 1, 64));
  }
  beside.synchronize();
  EXPECT_EQ(got[63], 3);
}

// Whoever waits hears of it, once, and the stream goes on.
TEST_F(EmulatedStreams, WhatFailsIsToldAtTheNextWait) {
  if (emulator::is_eager()) GTEST_SKIP() << "work is done when it is given";
  launch(beside, "misaligned", misaligned_kernel, dim3(1), dim3(1), 16, data());
  launch(beside, "set", set_kernel, dim3(1), dim3(64), 0, data(), 7.0F);
  EXPECT_THROW(beside.synchronize(), Error);
  beside.synchronize();
  EXPECT_EQ(values()[0], 7);
  launch(beside, "misaligned", misaligned_kernel, dim3(1), dim3(1), 16, data());
  { const auto freed = allocate(0, 4); }
  EXPECT_THROW(beside.synchronize(), Error) << "not lost";
}

}  // namespace
}  // namespace lime::cuda
