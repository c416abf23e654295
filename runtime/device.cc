#include "runtime/device.h"

#include "runtime/cuda_device.h"
#include "runtime/error.h"
#include "runtime/text.h"

namespace lime {

Device parse_device(std::string_view text) {
  if (text == "cpu") return {};
  if (text == "cuda") return {DeviceType::cuda, 0};
  constexpr std::string_view prefix = "cuda:";
  if (text.starts_with(prefix)) {
    const auto index = parse_number<int>(text.substr(prefix.size()));
    if (index && *index >= 0) return {DeviceType::cuda, *index};
  }
  throw UserError(str("device '", text, "': expected cpu, cuda or cuda:<index>"));
}

std::string to_string(Device device) {
  return device.type == DeviceType::cpu ? "cpu" : str("cuda:", device.index);
}

void require_available(Device device) {
  if (device.type == DeviceType::cpu) return;
  const std::string reason = cuda::unavailable(device.index);
  if (!reason.empty())
    throw UserError(str("device '", built_with_cuda() ? to_string(device) : "cuda", "': ", reason));
}

bool built_with_cuda() {
#ifdef LIME_WITH_CUDA
  return true;
#else
  return false;
#endif
}

}  // namespace lime
