// Copies and fills of the emulated CUDA runtime, and page-locked memory: toolkit/cuda_runtime_api.h.
//
// What is copied to the host arrives when the host waits, and there are NaNs until then. What is copied from
// page-locked memory is read when the copy is made, other memory when it is given.
#include <cstring>
#include <map>
#include <mutex>
#include <vector>

#include "runtime/emulator/cuda_runtime.h"
#include "runtime/emulator/memory.h"
#include "runtime/host_memory.h"

namespace lime::emulator {

namespace {

// Page-locked memory, and how many copies are still to read of each piece or to write there.
class PageLocked {
 public:
  struct Uses {
    int reads = 0, writes = 0;
  };

  // Never destroyed: buffers with static storage may outlive it.
  static PageLocked& instance() {
    static PageLocked& memory = *new PageLocked;
    return memory;
  }
  void* add(size_t bytes) {
    std::shared_ptr<void> owner = allocate_host(bytes);
    auto* const begin = static_cast<char*>(owner.get());
    const std::lock_guard lock(mutex_);
    live_[begin] = {begin + bytes, std::move(owner), {}};
    return begin;
  }
  bool remove(const void* begin) {
    const std::lock_guard lock(mutex_);
    return live_.erase(static_cast<const char*>(begin)) == 1;
  }
  // Whether the memory is there, with so many uses more.
  bool count(const char* p, Uses more) {
    const std::lock_guard lock(mutex_);
    Piece* const piece = piece_of(p);
    if (piece) piece->uses.reads += more.reads, piece->uses.writes += more.writes;
    return piece != nullptr;
  }
  bool is_to_be_read(const char* p) {
    const std::lock_guard lock(mutex_);
    const Piece* const piece = piece_of(p);
    return piece && piece->uses.reads > 0;
  }

 private:
  struct Piece {
    const char* end;
    std::shared_ptr<void> owner;
    Uses uses;
  };
  Piece* piece_of(const char* p) {
    const auto next = live_.upper_bound(p);
    return next != live_.begin() && p < std::prev(next)->second.end ? &std::prev(next)->second : nullptr;
  }

  std::mutex mutex_;
  std::map<const char*, Piece> live_;
};

// `height` rows of `width` bytes, their beginnings `pitch` bytes apart.
struct Area {
  char* begin;
  size_t pitch, width, height;
  size_t bytes() const { return (height - 1) * pitch + width; }
  size_t bytes_of_rows() const { return height * width; }
  char* row(size_t r) const { return begin + r * pitch; }
};

Area area(const void* begin, size_t pitch, size_t width, size_t height) {
  return {static_cast<char*>(const_cast<void*>(begin)), pitch, width, height};
}

void copy_on_host(const Area& from, const Area& to) {
  for (size_t r = 0; r < from.height; ++r) std::memcpy(to.row(r), from.row(r), from.width);
}
void copy(const Area& from, const Area& to) {
  const Access access;
  copy_on_host(from, to);
}

void check_device(const char* what, const Area& a) {
  must(is_device_memory(a.begin, a.bytes()), str(what, " of ", a.bytes(), " bytes outside device memory"));
}

void check_host(const char* what, const Area& a) {
  must(!is_device_memory(a.begin, 1), str(what, " was given device memory as host memory"));
}

void copy_to_device(const Area& host, const Area& device, cudaStream_t stream) {
  check_device("a copy to the device", device);
  check_host("a copy to the device", host);
  PageLocked& page_locked = PageLocked::instance();
  if (page_locked.count(host.begin, {.reads = 1}))
    return add_work(stream, [=, &page_locked] {
      must(page_locked.count(host.begin, {.reads = -1}),
           "page-locked memory was freed under a copy to the device");
      copy(host, device);
      return true;
    });
  // Of other memory the library takes a copy at once.
  std::vector<char> taken(host.bytes_of_rows());
  copy_on_host(host, area(taken.data(), host.width, host.width, host.height));
  give(stream, [taken = std::move(taken), device] {
    copy(area(taken.data(), device.width, device.width, device.height), device);
  });
}

void copy_to_host(const Area& device, const Area& host, cudaStream_t stream) {
  check_device("a copy to the host", device);
  check_host("a copy to the host", host);
  PageLocked& page_locked = PageLocked::instance();
  // Unless a copy that was given before has still to read there.
  for (size_t r = 0; r < host.height && !page_locked.is_to_be_read(host.begin); ++r)
    std::memset(host.row(r), 0xff, host.width);
  const bool is_page_locked = page_locked.count(host.begin, {.writes = 1});
  Work& work = *stream_of(stream)->work;
  work.promise();
  give(stream, [=, &work, &page_locked] {
    std::vector<char> bytes(host.bytes_of_rows());
    copy(device, area(bytes.data(), host.width, host.width, host.height));
    work.send([=, &page_locked, bytes = std::move(bytes)]() mutable {
      must(!is_page_locked || page_locked.count(host.begin, {.writes = -1}),
           "page-locked memory was freed under a copy to the host");
      copy_on_host(area(bytes.data(), host.width, host.width, host.height), host);
    });
  });
}

void copy_within(const Area& from, const Area& to, cudaStream_t stream) {
  check_device("a copy within the device", from);
  check_device("a copy within the device", to);
  must(from.begin + from.bytes() <= to.begin || to.begin + to.bytes() <= from.begin,
       "a copy within the device overlaps what it reads");
  give(stream, [=] { copy(from, to); });
}

cudaError_t fill(const Area& a, int value, cudaStream_t stream) {
  // Nothing says that a fill may be given to another device's stream, as a copy may.
  if (const cudaError_t status = must_be_current(stream, "a fill"); status != cudaSuccess) return status;
  if (a.width == 0 || a.height == 0) return cudaSuccess;
  check_device("a fill", a);
  give(stream, [=] {
    const Access access;
    for (size_t r = 0; r < a.height; ++r) std::memset(a.row(r), value, a.width);
  });
  return cudaSuccess;
}

cudaError_t start_copy(const Area& to, const Area& from, cudaMemcpyKind kind, cudaStream_t stream) {
  if (!stream_of(stream)) return cudaErrorInvalidResourceHandle;
  if (kind < cudaMemcpyHostToDevice || kind > cudaMemcpyDeviceToDevice)
    return refuse(cudaErrorInvalidMemcpyDirection, str("direction ", static_cast<int>(kind)));
  if (to.width == 0 || to.height == 0) return cudaSuccess;
  if (kind == cudaMemcpyHostToDevice) copy_to_device(from, to, stream);
  if (kind == cudaMemcpyDeviceToHost) copy_to_host(from, to, stream);
  if (kind == cudaMemcpyDeviceToDevice) copy_within(from, to, stream);
  return cudaSuccess;
}

}  // namespace

}  // namespace lime::emulator

using namespace lime::emulator;
using lime::str;

cudaError_t cudaMallocHost(void** memory, size_t bytes) {
  if (!memory) return refuse(cudaErrorInvalidValue, "nowhere to put the address");
  try {
    *memory = PageLocked::instance().add(bytes);
  } catch (const std::exception& e) {
    return refuse(cudaErrorMemoryAllocation, e.what());
  }
  return cudaSuccess;
}

cudaError_t cudaFreeHost(void* memory) {
  if (PageLocked::instance().remove(memory)) return cudaSuccess;
  return refuse(cudaErrorInvalidValue, "cudaMallocHost() did not give this");
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  return start_copy(area(to, bytes, bytes, 1), area(from, bytes, bytes, 1), kind, stream);
}

cudaError_t cudaMemcpy2DAsync(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width,
                              size_t height, cudaMemcpyKind kind, cudaStream_t stream) {
  if (width > to_pitch || width > from_pitch || to_pitch > most_pitch || from_pitch > most_pitch)
    return refuse(cudaErrorInvalidPitchValue, str("rows of ", width, " bytes, every ", from_pitch,
                                                  " to every ", to_pitch, ", which may be ", most_pitch));
  return start_copy(area(to, to_pitch, width, height), area(from, from_pitch, width, height), kind, stream);
}

cudaError_t cudaMemset(void* memory, int value, size_t bytes) {
  return cudaMemsetAsync(memory, value, bytes, nullptr);
}

cudaError_t cudaMemsetAsync(void* memory, int value, size_t bytes, cudaStream_t stream) {
  return fill(area(memory, bytes, bytes, 1), value, stream);
}

cudaError_t cudaMemset2DAsync(void* memory, size_t pitch, int value, size_t width, size_t height,
                              cudaStream_t stream) {
  if (height > 1 && width > pitch)
    return refuse(cudaErrorInvalidValue, str("rows of ", width, " bytes, every ", pitch));
  return fill(area(memory, pitch, width, height), value, stream);
}
