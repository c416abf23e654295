// What goes to the device and comes back, while other work is under way.
#include "model/device_transfer.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/device_support.h"

namespace lime {
namespace {

class DeviceTransfer : public DeviceTest, public testing::WithParamInterface<Device> {
 protected:
  DeviceTransfer() : DeviceTest(GetParam()) {}
  bool on_host() const { return ctx.device() == Device{}; }

  Tensor filled(double value, int64_t rows = 2, int64_t cols = 3) {
    Tensor tensor(ctx.device(), DType::f32, rows, cols);
    fill(ctx, tensor, value);
    return tensor;
  }
};

INSTANTIATE_TEST_SUITE_P(Devices, DeviceTransfer, testing::ValuesIn(test_devices()), device_name);

// Micro-batches of all sizes; each is read after the next one was sent.
TEST_P(DeviceTransfer, InputsArriveAndStayForOneMoreMicroBatch) {
  DeviceInput input(ctx);
  struct Sent {
    View values;
    std::vector<float> expected;
    Jagged jagged;
  } last{};
  std::vector<std::vector<int64_t>> offsets;
  for (const int64_t rows : {3, 0, 70, 1, 500, 2, 2}) offsets.push_back({0, rows / 2, rows});
  for (size_t m = 0; m < offsets.size(); ++m) {
    input.begin();
    Sent sent;
    sent.jagged = input.send(offsets[m]);
    const int64_t rows = sent.jagged.rows();
    for (int64_t i = 0; i < rows * 5; ++i)
      sent.expected.push_back(static_cast<float>(i) + 1000 * static_cast<float>(m));
    sent.values = input.send(DType::f32, rows, 5, [&](View host) {
      ASSERT_EQ(host.device(), Device{});
      std::copy(sent.expected.begin(), sent.expected.end(), host.data<float>());
    });
    input.arrive();
    EXPECT_EQ(sent.values.device(), ctx.device());
    EXPECT_EQ(to_host<float>(ctx, sent.values), sent.expected) << m;
    EXPECT_EQ(to_host<float>(ctx, last.values), last.expected) << m;
    EXPECT_EQ(sent.jagged.device() == offsets[m].data(), on_host());
    EXPECT_EQ(to_host<int64_t>(ctx, ConstView(sent.jagged.device(), DType::i64, ctx.device(), 1, 3, 3)),
              offsets[m]);
    last = std::move(sent);
  }
}

TEST_P(DeviceTransfer, InputsBecomeBf16OnTheDevice) {
  if (on_host()) GTEST_SKIP() << "bf16 is for CUDA devices";
  DeviceInput input(ctx);
  input.begin();
  const std::vector<float> values{1.0f, 1.00390625f, -3.14159f, 0, 1e30f, -2};
  const View sent = input.send(
      DType::bf16, 3, 2, [&](View host) { std::copy(values.begin(), values.end(), host.data<float>()); });
  input.arrive();
  const auto got = to_host<bf16>(ctx, sent);
  ASSERT_EQ(got.size(), values.size());
  for (size_t i = 0; i < values.size(); ++i) EXPECT_EQ(got[i].bits, to_bf16(values[i]).bits) << values[i];
}

// Real-valued columns go beside gathered rows.
TEST_P(DeviceTransfer, InputsGoIntoColumnsOfOthers) {
  for (const DType dtype : {DType::f32, on_host() ? DType::f32 : DType::bf16}) {
    DeviceInput input(ctx);
    input.begin();
    const View wide = ctx.arena().alloc(dtype, 3, 5);
    fill(ctx, wide, 9);
    input.send(wide.slice_cols(2, 4), [](View host) {
      EXPECT_EQ(host.dtype(), DType::f32);
      for (int64_t r = 0; r < 3; ++r)
        for (int64_t c = 0; c < 2; ++c) host.row<float>(r)[c] = static_cast<float>(2 * r + c);
    });
    input.arrive();
    const Tensor got(ctx.device(), DType::f32, 3, 5);
    copy(ctx, wide, got);
    EXPECT_EQ(to_host<float>(ctx, got.view()),
              (std::vector<float>{9, 9, 0, 1, 9, 9, 9, 2, 3, 9, 9, 9, 4, 5, 9}));
  }
}

TEST_P(DeviceTransfer, WhatComesBackIsHandedOverInOrder) {
  HostReturn back(ctx);
  std::vector<float> seen;
  for (int i = 1; i <= 4; ++i) {
    Tensor a = filled(i), b = filled(10 * i, 1, 0);
    back.start({a.view(), b.view()}, [&, i](std::span<const ConstView> host) {
      ASSERT_EQ(host.size(), 2u);
      EXPECT_EQ(host[0].device(), Device{});
      EXPECT_EQ(host[0].rows(), 2);
      EXPECT_EQ(host[1].size(), 0);
      EXPECT_EQ(host[0].data<float>()[5], static_cast<float>(i));
      seen.push_back(host[0].data<float>()[0]);
    });
    fill(ctx, a, -1);  // too late to be seen
    EXPECT_EQ(seen.size(), static_cast<size_t>(on_host() ? i : std::max(0, i - 2)));
    back.finish(1);
    EXPECT_EQ(seen.size(), static_cast<size_t>(on_host() ? i : i - 1));
  }
  back.finish();
  EXPECT_EQ(seen, (std::vector<float>{1, 2, 3, 4}));
}

TEST_P(DeviceTransfer, Bf16ComesBackAsF32) {
  if (on_host()) GTEST_SKIP() << "bf16 is for CUDA devices";
  HostReturn back(ctx);
  Tensor rows(ctx.device(), DType::bf16, 2, 3);
  fill(ctx, rows, 1.5);
  bool called = false;
  back.start({rows.view()}, [&](std::span<const ConstView> host) {
    called = true;
    EXPECT_EQ(host[0].data<float>()[5], 1.5f);
  });
  back.finish();
  EXPECT_TRUE(called);
}

}  // namespace
}  // namespace lime
