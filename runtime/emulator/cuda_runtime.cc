// Devices, their memory and launches of the emulated CUDA runtime: toolkit/cuda_runtime_api.h.
#include "runtime/emulator/cuda_runtime.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>

#include "runtime/emulator/memory.h"
#include "runtime/philox.h"

namespace lime::emulator {

namespace {

constexpr size_t memory_of_device = size_t{64} << 30, shared_without_asking = 48 * 1024;
thread_local int current = 0;

int devices() {
  const char* wanted = std::getenv("LIME_EMULATED_DEVICES");
  return wanted ? std::max(std::atoi(wanted), 1) : 1;
}

cudaError_t check_device(int device) {
  if (device >= 0 && device < devices()) return cudaSuccess;
  return refuse(cudaErrorInvalidDevice,
                str("device ", device, " of ", devices(), " (LIME_EMULATED_DEVICES)"));
}

// What cudaMalloc() gave, and what kernels may have. Never destroyed: tensors with static storage may outlive
// it.
struct State {
  struct Memory {
    std::shared_ptr<void> owner;
    size_t bytes;
    int device;
  };
  std::mutex mutex;
  std::map<const void*, Memory> memory;
  std::map<int, size_t> used;                                      // by device
  std::map<std::pair<const void*, int>, size_t> shared_of_kernel;  // and device
  uint64_t frees = 0;

  static State& instance() {
    static State& state = *new State;
    return state;
  }
};

}  // namespace

int active_device() { return current; }

int device_of(const void* p) {
  const void* const begin = allocation_of(p).begin;
  State& state = State::instance();
  const std::lock_guard lock(state.mutex);
  const auto found = state.memory.find(begin);
  return found != state.memory.end() ? found->second.device : -1;
}

cudaError_t must_be_current(cudaStream_t handle, const std::string& what) {
  const CUstream_st* stream = stream_of(handle);
  if (!stream) return cudaErrorInvalidResourceHandle;
  if (stream->device == current) return cudaSuccess;
  return refuse(cudaErrorInvalidResourceHandle, str(what, " on a stream of device ", stream->device,
                                                    " while device ", current, " is current"));
}

cudaError_t may_launch(cudaStream_t stream, const std::string& what, const void* kernel,
                       size_t shared_bytes) {
  if (const cudaError_t status = must_be_current(stream, what); status != cudaSuccess) return status;
  if (shared_bytes <= shared_without_asking) return cudaSuccess;
  State& state = State::instance();
  const std::lock_guard lock(state.mutex);
  const auto found = state.shared_of_kernel.find({kernel, current});
  if (found != state.shared_of_kernel.end() && shared_bytes <= found->second) return cudaSuccess;
  return refuse(cudaErrorInvalidValue, str(what, " has ", shared_bytes,
                                           " bytes of dynamic shared memory, which cudaFuncSetAttribute() "
                                           "has not let it have on device ",
                                           current));
}

}  // namespace lime::emulator

using namespace lime::emulator;
using lime::str;

cudaError_t cudaDriverGetVersion(int* version) {
  if (!version) return refuse(cudaErrorInvalidValue, "nowhere to put the version");
  *version = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int* count) {
  if (!count) return refuse(cudaErrorInvalidValue, "nowhere to put the count");
  *count = devices();
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  if (const cudaError_t status = check_device(device); status != cudaSuccess) return status;
  *properties = {};
  std::strcpy(properties->name, "emulated");
  const std::string uuid = str("emulated ", device);
  uuid.copy(properties->uuid.bytes, sizeof(properties->uuid.bytes));
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  if (const cudaError_t status = check_device(device); status != cudaSuccess) return status;
  switch (attribute) {
    case cudaDevAttrMaxPitch:
      *value = static_cast<int>(most_pitch);
      return cudaSuccess;
    case cudaDevAttrComputeCapabilityMajor:  // sm_90
      *value = 9;
      return cudaSuccess;
    case cudaDevAttrComputeCapabilityMinor:
      *value = 0;
      return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = static_cast<int>(most_shared_bytes);
      return cudaSuccess;
  }
  return refuse(cudaErrorInvalidValue, str("attribute ", static_cast<int>(attribute), " is not emulated"));
}

cudaError_t cudaSetDevice(int device) {
  if (const cudaError_t status = check_device(device); status != cudaSuccess) return status;
  current = device;
  return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize() {
  const std::string failure = Work::finish_all(current);
  return failure.empty() ? cudaSuccess : refuse(cudaErrorLaunchFailure, failure);
}

cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  if (!free || !total) return refuse(cudaErrorInvalidValue, "nowhere to put the sizes");
  State& state = State::instance();
  const std::lock_guard lock(state.mutex);
  *total = memory_of_device;
  *free = memory_of_device - state.used[current];
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** memory, size_t bytes) {
  if (!memory) return refuse(cudaErrorInvalidValue, "nowhere to put the address");
  *memory = nullptr;
  if (bytes == 0) return cudaSuccess;
  State& state = State::instance();
  const auto left = [&] { return memory_of_device - state.used[current]; };
  {
    const std::lock_guard lock(state.mutex);
    if (bytes > left())
      return refuse(cudaErrorMemoryAllocation, str(left(), " bytes are left of ", memory_of_device));
    state.used[current] += bytes;
  }
  std::shared_ptr<void> owner;
  std::string failure;
  try {  // without the lock: whoever does work holds the memory's
    owner = lime::emulator::allocate(bytes);
  } catch (const std::exception& e) {
    failure = e.what();
  }
  const std::lock_guard lock(state.mutex);
  if (!owner) {
    state.used[current] -= bytes;
    return refuse(cudaErrorMemoryAllocation, failure);
  }
  *memory = owner.get();
  state.memory.emplace(*memory, State::Memory{std::move(owner), bytes, current});
  return cudaSuccess;
}

// "May perform implicit synchronization": now it does, now it does not.
cudaError_t cudaFree(void* memory) {
  if (!memory) return cudaSuccess;
  State& state = State::instance();
  State::Memory freed;  // goes last, without the lock
  bool waits = false;
  {
    const std::lock_guard lock(state.mutex);
    const auto found = state.memory.find(memory);
    if (found == state.memory.end()) return refuse(cudaErrorInvalidValue, "cudaMalloc() did not give this");
    freed = found->second;
    waits = lime::mix64(++state.frees) % 2 == 1;
  }
  if (waits) Work::finish_all(freed.device);
  const std::lock_guard lock(state.mutex);
  state.memory.erase(memory);
  state.used[freed.device] -= freed.bytes;
  return cudaSuccess;
}

cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute attribute, int value) {
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0)
    return refuse(cudaErrorInvalidValue, str("attribute ", static_cast<int>(attribute), " as ", value));
  if (static_cast<size_t>(value) > most_shared_bytes)
    return refuse(cudaErrorInvalidValue, str(value, " bytes of shared memory, of which a block has ",
                                             most_shared_bytes, " at most"));
  State& state = State::instance();
  const std::lock_guard lock(state.mutex);
  state.shared_of_kernel[{kernel, current}] = static_cast<size_t>(value);
  return cudaSuccess;
}
