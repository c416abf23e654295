#include "tests/support/device_support.h"

#include "runtime/cuda_device.h"

namespace lime {

std::vector<Device> test_cuda_devices() {
  if (!built_with_cuda()) return {};
  return {{DeviceType::cuda, 0}};
}

std::vector<Device> test_devices() {
  std::vector<Device> devices = test_cuda_devices();
  devices.insert(devices.begin(), Device{});
  return devices;
}

std::string device_name(const testing::TestParamInfo<Device>& info) {
  return info.param.type == DeviceType::cpu ? "cpu" : "cuda";
}

std::string skip_reason(Device device) {
  try {
    require_available(device);
    return "";
  } catch (const UserError& e) {
    return e.what();
  }
}

bool device_is_emulated() {
  const Device first{DeviceType::cuda, 0};
  return skip_reason(first).empty() && cuda::identity(first.index).starts_with("emulated");
}

bool device_works_at_once() {
  if (!device_is_emulated()) return false;
  Context ctx({DeviceType::cuda, 0});
  const Tensor given(ctx.device(), DType::f32, 1, 1);
  fill(ctx, given.view(), 0);
  cuda::Event done(ctx.device().index);
  done.record(ctx.stream());
  return done.reached();  // streams that are late have done nothing yet when they are asked first
}

Tensor device_scalar(Context& ctx, double value) {
  Tensor tensor(ctx.device(), DType::f64, 1, 1);
  fill(ctx, tensor, value);
  return tensor;
}

double host_sum_of_squares(Context& ctx, const ConstView& x) {
  const Tensor sum = device_scalar(ctx, -1);
  sum_of_squares(ctx, x, sum);
  return to_host<double>(ctx, sum.view())[0];
}

}  // namespace lime
