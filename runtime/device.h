// Devices: where tensors live and kernels run.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace lime {

enum class DeviceType : uint8_t { cpu, cuda };

struct Device {
  DeviceType type = DeviceType::cpu;
  int index = 0;  // CUDA ordinal; 0 on the CPU
  friend bool operator==(const Device&, const Device&) = default;
};

// "cpu", "cuda" or "cuda:1". Throws UserError on anything else.
Device parse_device(std::string_view text);
std::string to_string(Device device);

// Throws UserError, with the reason and the remedy, if this build or this machine cannot run on `device`.
// Nothing ever falls back to another device silently.
void require_available(Device device);

// True if this binary was built with the CUDA backend.
bool built_with_cuda();

}  // namespace lime
