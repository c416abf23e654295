#include "tests/support/device_support.h"

namespace lime {

std::vector<Device> test_devices() {
  std::vector<Device> devices{Device{}};
  if (built_with_cuda()) devices.push_back({DeviceType::cuda, 0});
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
