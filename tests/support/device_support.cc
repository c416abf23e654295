#include "tests/support/device_support.h"

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

}  // namespace lime
