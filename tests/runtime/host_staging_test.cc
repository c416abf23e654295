// Page-locked memory that is used again, copies within the device, and events that are asked.
#include "runtime/host_staging.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/device_support.h"

namespace lime {
namespace {

class HostStagingOn : public DeviceTest, public testing::WithParamInterface<Device> {
 protected:
  HostStagingOn() : DeviceTest(GetParam()) {}
};

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(HostStagingOn);  // in builds without CUDA
INSTANTIATE_TEST_SUITE_P(Devices, HostStagingOn, testing::ValuesIn(test_cuda_devices()), device_name);

TEST_P(HostStagingOn, MemoryIsUsedAgainButNeverTwiceAtATime) {
  HostStaging staging(ctx.device());
  auto a = staging.take(10000), b = staging.take(10000);
  EXPECT_NE(a->memory.data(), b->memory.data());
  EXPECT_GE(a->memory.size(), 10000u);
  const void* first = a->memory.data();
  staging.give_back(std::move(a), ctx.stream());
  ctx.synchronize();
  a = staging.take(9000);
  EXPECT_EQ(a->memory.data(), first);
  staging.give_back(std::move(a), ctx.stream());
  ctx.synchronize();
  a = staging.take(1 << 20);  // it has to grow
  EXPECT_GE(a->memory.size(), size_t{1} << 20);
  staging.give_back(std::move(a), ctx.stream());
  staging.give_back(std::move(b), ctx.stream());
  ctx.synchronize();
  b = staging.take(100);  // the smallest that fits
  EXPECT_LT(b->memory.size(), size_t{1} << 20);
}

// What the host writes into a block it was given anew does not reach copies made before.
TEST_P(HostStagingOn, CopiesUnderWayKeepTheirMemory) {
  HostStaging staging(ctx.device());
  constexpr int64_t n = 100'000, copies = 20;
  std::vector<Tensor> tensors;
  for (int64_t i = 0; i < copies; ++i) {
    tensors.emplace_back(ctx.device(), DType::f32, 1, n);
    auto block = staging.take(n * sizeof(float));
    const auto values = block->memory.as<float>();
    std::fill_n(values.begin(), n, static_cast<float>(i));
    copy(ctx, ConstView(values.data(), 1, n), tensors.back());
    staging.give_back(std::move(block), ctx.stream());
  }
  for (int64_t i = 0; i < copies; ++i)
    EXPECT_EQ(to_host<float>(ctx, tensors[static_cast<size_t>(i)].view()),
              std::vector<float>(n, static_cast<float>(i)));
}

TEST_P(HostStagingOn, StreamsCopyWithinTheDeviceAndEventsAreReached) {
  const std::vector<double> values{1, 2, 3, 4, 5};
  const Tensor from = to_device(ctx, values), to(ctx.device(), DType::f64, 1, 5);
  ctx.stream().copy(from.view().raw(), to.view().raw(), 3 * sizeof(double));
  ctx.stream().copy(from.view().raw(), to.view().raw(), 0);
  EXPECT_EQ(to_host<double>(ctx, to.view()), (std::vector<double>{1, 2, 3, 0, 0}));
  cuda::Event event(ctx.device().index);
  EXPECT_TRUE(event.reached()) << "nothing was recorded";
  event.record(ctx.stream());
  event.synchronize();
  EXPECT_TRUE(event.reached());
  EXPECT_FALSE(cuda::identity(ctx.device().index).empty());
  EXPECT_EQ(cuda::identity(ctx.device().index), cuda::identity(ctx.device().index));
}

}  // namespace
}  // namespace lime
