// Dense parameters and moments to a file and back: from any device, onto any, in any precision.
#include "model/checkpoint_tensors.h"

#include "tests/support/device_support.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

// A network's parameters after two steps.
struct Trained {
  Trained(Context& c, uint64_t seed) : ctx(c) {
    store.add("weight", 3, 5, Init::fan_in, Role::weight);
    store.add("bias", 1, 5, Init::ones, Role::vector);
    store.add("links", 2, 5, Init::unit, Role::rows);
    store.allocate(ctx, seed);
    adamw = std::make_unique<AdamW>(ctx, store, AdamWConfig{});
    for (int64_t step = 1; step <= 2; ++step) {
      for (const Parameter& p : store.all()) copy(ctx, p.master, p.grad);
      adamw->update(ctx, store, store.grads(), 0.1, device_scalar(ctx, 1).view(), step);
    }
  }
  std::vector<float> all() {
    std::vector<float> values;
    for (const View& v : {store.values(), adamw->first_moment(), adamw->second_moment()})
      for (const float x : to_host<float>(ctx, v)) values.push_back(x);
    return values;
  }
  Context& ctx;
  ParameterStore store;
  std::unique_ptr<AdamW> adamw;
};

class CheckpointTensors : public DeviceTest, public testing::WithParamInterface<Device> {
 protected:
  CheckpointTensors() : DeviceTest(GetParam()) {}
};
INSTANTIATE_TEST_SUITE_P(Devices, CheckpointTensors, testing::ValuesIn(test_devices()), device_name);

TEST_P(CheckpointTensors, MoveBetweenDevicesAndPrecisions) {
  const TempDirectory directory;
  Context host;
  Trained here(ctx, 1), there(host, 2);
  ASSERT_NE(here.all(), there.all());
  write_dense(directory.file("device.h5"), ctx, here.store, *here.adamw);
  read_dense(directory.file("device.h5"), host, there.store, there.adamw.get());
  EXPECT_EQ(here.all(), there.all());

  Trained again(ctx, 3);
  write_dense(directory.file("host.h5"), host, there.store, *there.adamw);
  read_dense(directory.file("host.h5"), ctx, again.store, again.adamw.get());
  EXPECT_EQ(here.all(), again.all());
  if (ctx.device() == Device{}) return;

  Context half_context(ctx.device(), DType::bf16);
  Trained half(half_context, 4);
  read_dense(directory.file("host.h5"), half_context, half.store, nullptr);
  const Parameter& links = half.store.all()[2];
  const auto master = to_host<float>(half_context, links.master);
  const auto value = to_host<bf16>(half_context, links.value);
  EXPECT_EQ(master, to_host<float>(ctx, here.store.all()[2].master));
  for (size_t i = 0; i < value.size(); ++i) EXPECT_EQ(value[i], to_bf16(master[i]));
}

}  // namespace
}  // namespace lime
