#include "layers/dispatch.h"

#include <gmock/gmock.h>

#include "tests/support/device_support.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

class Dispatch : public DeviceTest, public testing::WithParamInterface<Device> {
 protected:
  Dispatch() : DeviceTest(GetParam(), DType::f64) {}
};
INSTANTIATE_TEST_SUITE_P(Devices, Dispatch, testing::ValuesIn(test_devices()), device_name);

TEST_P(Dispatch, CallsTheDevicesKernel) {
  std::string called;
  dispatch(
      ctx, "op", [&]<typename T>(T) { called = str("cpu ", sizeof(T)); }, [&] { called = "cuda"; });
  EXPECT_EQ(called, ctx.device() == Device{} ? "cpu 8" : "cuda");
}

TEST_P(Dispatch, NamesTheOperationThatHasNoCudaKernel) {
  bool called = false;
  const auto op = [&] { dispatch_cpu(ctx, "some_op", [&](auto) { called = true; }); };
  if (ctx.device() == Device{}) {
    op();
    EXPECT_TRUE(called);
    return;
  }
  EXPECT_EQ(user_error(op), "some_op: this build has no kernel for device cuda:0; use device: cpu");
}

}  // namespace
}  // namespace lime
