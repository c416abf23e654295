// runtime/cuda_device.h over the CUDA runtime: NVIDIA's, or the emulated one.
#include <cuda_runtime_api.h>

#include <algorithm>
#include <iterator>

#include "runtime/cuda_device.h"
#include "runtime/cuda_device_calls.h"
#include "runtime/device_memory.h"
#include "runtime/device_watch.h"
#include "runtime/error.h"

namespace lime::cuda {

namespace {

// The runtime keeps what a call of this thread answered last, "not ready" too, and gives it to the next who
// asks, as every launch does: an answer that was heard is taken from there.
void forget_answer() { static_cast<void>(cudaGetLastError()); }

void check(cudaError_t status, const std::string& what) {
  if (status != cudaSuccess) throw_failure(what, status);
}

// What a query answered.
bool is_done(cudaError_t status) {
  if (status == cudaErrorNotReady) {
    forget_answer();
    return false;
  }
  check(status, "work on the device");
  return true;
}

void set_device(int index) { check(cudaSetDevice(index), str("cudaSetDevice(", index, ")")); }

cudaStream_t stream_of(void* handle) { return static_cast<cudaStream_t>(handle); }
cudaEvent_t event_of(void* handle) { return static_cast<cudaEvent_t>(handle); }

// The two-dimensional copy limits the pitch to 2 GiB; one block of any size takes the other way.
cudaError_t copy_rows(const void* from, size_t from_pitch, void* to, size_t to_pitch, Stream::Rows rows,
                      cudaMemcpyKind kind, cudaStream_t stream) {
  const auto count = static_cast<size_t>(rows.rows);
  if (count == 0 || rows.row_bytes == 0) return cudaSuccess;  // whatever the pointers
  const bool one_block = count <= 1 || (from_pitch == rows.row_bytes && to_pitch == rows.row_bytes);
  return one_block ? cudaMemcpyAsync(to, from, rows.row_bytes * count, kind, stream)
                   : cudaMemcpy2DAsync(to, to_pitch, from, from_pitch, rows.row_bytes, count, kind, stream);
}

}  // namespace

void throw_failure(const std::string& what, int code) {
  const auto status = static_cast<cudaError_t>(code);
  forget_answer();
  throw Error(str(what, " failed: ", cudaGetErrorName(status), ": ", cudaGetErrorString(status)));
}

std::string unavailable(int index) {
  int devices = 0, driver = 0;
  if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0)
    return "no NVIDIA driver is loaded on this machine; install one (nvidia-smi must list a GPU), or use "
           "device=cpu";
  const cudaError_t status = cudaGetDeviceCount(&devices);
  forget_answer();
  if (status != cudaSuccess)
    return str(cudaGetErrorString(status), " (driver for CUDA ", driver / 1000, ".", driver % 1000 / 10,
               ", built with ", CUDART_VERSION / 1000, ".", CUDART_VERSION % 1000 / 10,
               "); update the driver, look at CUDA_VISIBLE_DEVICES, or use device=cpu");
  if (index >= devices)
    return str("no device ", index, ": this process sees ", devices, " GPU", devices == 1 ? "" : "s",
               "; name another one, or look at CUDA_VISIBLE_DEVICES");
  return "";
}

std::string identity(int index) {
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, index), str("cudaGetDeviceProperties(cuda:", index, ")"));
  return {std::begin(properties.uuid.bytes), std::end(properties.uuid.bytes)};
}

DeviceMemory device_memory(int index) {
  set_device(index);
  DeviceMemory memory;
  check(cudaMemGetInfo(&memory.free, &memory.total), "cudaMemGetInfo");
  return memory;
}

std::shared_ptr<void> allocate(int index, size_t bytes, Fill fill) {
  set_device(index);
  void* memory = nullptr;
  check(cudaMalloc(&memory, std::max<size_t>(bytes, 1)),
        str("cudaMalloc(", bytes, " bytes on cuda:", index, ")"));
  ++device_calls.allocations;
  std::shared_ptr<void> owner(memory, [index](void* p) {
    // cudaFree waits for the device, as it is; CUDA says that it may.
    settle_watched();
    if (cudaSetDevice(index) == cudaSuccess) cudaDeviceSynchronize();
    cudaFree(p);
    ++device_calls.frees;
  });
  if (fill == Fill::zeros) {
    check(cudaMemset(memory, 0, bytes), "cudaMemset");
    check(cudaStreamSynchronize(nullptr), "cudaMemset");  // contexts' streams do not wait for this one
  }
  return owner;
}

std::shared_ptr<void> allocate_pinned(int index, size_t bytes) {
  set_device(index);
  void* memory = nullptr;
  check(cudaMallocHost(&memory, std::max<size_t>(bytes, 1)), str("cudaMallocHost(", bytes, " bytes)"));
  ++device_calls.allocations;
  return {memory, [](void* p) {
            settle_watched();  // cudaFreeHost waits for the device
            cudaFreeHost(p);
            ++device_calls.frees;
          }};
}

Stream::Stream(int index) : index_(index) {
  activate();
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreate");
  handle_ = stream;
}

Stream::~Stream() {
  settle_watched();
  cudaStreamSynchronize(stream_of(handle_));
  cudaStreamDestroy(stream_of(handle_));
}

void Stream::activate() const { set_device(index_); }

void Stream::to_device(const void* host, size_t host_pitch, void* device, size_t device_pitch, Rows rows) {
  activate();
  check(copy_rows(host, host_pitch, device, device_pitch, rows, cudaMemcpyHostToDevice, stream_of(handle_)),
        "copy to the device");
}

void Stream::to_host(const void* device, size_t device_pitch, void* host, size_t host_pitch, Rows rows) {
  activate();
  check(copy_rows(device, device_pitch, host, host_pitch, rows, cudaMemcpyDeviceToHost, stream_of(handle_)),
        "copy to the host");
}

void Stream::zero(void* device, size_t pitch, Rows rows) {
  if (rows.rows == 0 || rows.row_bytes == 0) return;
  activate();
  const auto count = static_cast<size_t>(rows.rows);
  check(count <= 1 || pitch == rows.row_bytes
            ? cudaMemsetAsync(device, 0, rows.row_bytes * count, stream_of(handle_))
            : cudaMemset2DAsync(device, pitch, 0, rows.row_bytes, count, stream_of(handle_)),
        "zero fill");
}

void Stream::copy(const void* from, void* to, size_t bytes) {
  if (bytes == 0) return;
  activate();
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream_of(handle_)),
        "copy within the device");
}

void Stream::synchronize() {
  ++device_calls.waits;
  wait_watchfully([this] { return is_done(cudaStreamQuery(stream_of(handle_))); });
  check(cudaStreamSynchronize(stream_of(handle_)), "work on the device");
}

void Stream::wait(const Event& event) {
  check(cudaStreamWaitEvent(stream_of(handle_), event_of(event.handle()), 0), "cudaStreamWaitEvent");
}

Event::Event(int index, Timed timed) : index_(index) {
  set_device(index_);
  cudaEvent_t event = nullptr;
  const unsigned flags = timed == Timed::yes ? cudaEventDefault : cudaEventDisableTiming;
  check(cudaEventCreateWithFlags(&event, flags), "cudaEventCreate");
  handle_ = event;
}

Event::~Event() { cudaEventDestroy(event_of(handle_)); }

void Event::record(Stream& stream) {
  stream.activate();
  check(cudaEventRecord(event_of(handle_), stream_of(stream.handle())), "cudaEventRecord");
}

void Event::synchronize() const {
  ++device_calls.waits;
  wait_watchfully([this] { return reached(); });
  check(cudaEventSynchronize(event_of(handle_)), "work on the device");
}

bool Event::reached() const { return is_done(cudaEventQuery(event_of(handle_))); }

double Event::milliseconds_since(const Event& earlier) const {
  float ms = 0;
  check(cudaEventElapsedTime(&ms, event_of(earlier.handle_), event_of(handle_)), "cudaEventElapsedTime");
  return ms;
}

}  // namespace lime::cuda
