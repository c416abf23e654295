// Choice of kernel by device. An operation checks its arguments once, then dispatches; nothing ever falls
// back silently.
#pragma once

#include <type_traits>

#include "runtime/device.h"
#include "runtime/error.h"

namespace lime {

// For dispatch_device and dispatch (layers/dispatch.h): the operation has no CUDA kernel.
struct NoCudaKernel {};

// Calls on_cpu() or on_cuda(). In a build without CUDA, on_cuda is not instantiated: the kernels need not
// exist. Throws UserError, naming the operation, where there is no kernel for the device.
template <typename Cpu, typename Cuda>
auto dispatch_device(Device device, const char* operation, const Cpu& on_cpu,
                     [[maybe_unused]] const Cuda& on_cuda) -> decltype(on_cpu()) {
  if (device.type == DeviceType::cpu) return on_cpu();
#ifdef LIME_WITH_CUDA
  if constexpr (!std::is_same_v<Cuda, NoCudaKernel>) return on_cuda();
#endif
  throw UserError(
      str(operation, ": this build has no kernel for device ", to_string(device), "; use device: cpu"));
}

}  // namespace lime
