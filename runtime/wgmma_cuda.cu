#include "runtime/wgmma.h"

#include <atomic>
#include <cstdlib>
#include <cstring>

#include "runtime/cuda_kernel.h"

namespace lime::cuda {

namespace {

std::atomic<bool> allowed = true;

bool forbidden() {
  static const char* wanted = std::getenv("LIME_WGMMA");
  return !allowed.load(std::memory_order_relaxed) || (wanted && std::strcmp(wanted, "0") == 0);
}

#if defined(LIME_CUDA_EMULATED) || defined(LIME_CUDA_SM90A)
// Code for sm_90a runs on compute capability 9.0 and no other.
bool device_has_wgmma(const Context& ctx) {
  const auto attribute = [&](cudaDeviceAttr which) {
    int value = 0;
    const cudaError_t status = cudaDeviceGetAttribute(&value, which, ctx.device().index);
    if (status != cudaSuccess) throw_failure("cudaDeviceGetAttribute", status);
    return value;
  };
  return attribute(cudaDevAttrComputeCapabilityMajor) == 9 &&
         attribute(cudaDevAttrComputeCapabilityMinor) == 0;
}
#else
bool device_has_wgmma(const Context&) { return false; }  // not built for sm_90a
#endif

}  // namespace

void allow_wgmma(bool yes) { allowed = yes; }
bool wgmma_in_use(const Context& ctx) { return !forbidden() && device_has_wgmma(ctx); }

}  // namespace lime::cuda
