#include "runtime/memory.h"

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <algorithm>
#include <cstdlib>

#include "runtime/cuda_device.h"
#include "runtime/error.h"
#include "runtime/host_memory.h"
#include "runtime/out_of_memory.h"
#include "runtime/sanitizer.h"

namespace lime {

void* allocate_uninitialised(size_t bytes) {
  // Large blocks ask for huge pages: rows that are a power of two apart would otherwise miss in the TLB.
  constexpr size_t huge_page = size_t{2} << 20, smallest_huge = huge_page / 8;
  const size_t alignment = bytes >= smallest_huge ? huge_page : memory_alignment;
  const size_t wanted = bytes;
  bytes = std::max((bytes + alignment - 1) / alignment * alignment, alignment);
  void* memory = std::aligned_alloc(alignment, bytes);
  if (!memory) throw OutOfMemory(str("out of memory: ", bytes, " bytes wanted"));
#if defined(__linux__)
  if (alignment == huge_page) madvise(memory, bytes, MADV_HUGEPAGE);  // a refusal changes nothing but speed
#endif
  sanitizer::forbid(static_cast<char*>(memory) + wanted, bytes - wanted);
  return memory;
}

std::shared_ptr<void> allocate_host(size_t bytes) { return {allocate_uninitialised(bytes), std::free}; }

std::shared_ptr<void> allocate_memory(Device device, size_t bytes) {
  return device.type == DeviceType::cuda ? cuda::allocate(device.index, bytes) : allocate_host(bytes);
}

PinnedBuffer::PinnedBuffer(Device near, size_t bytes)
    : memory_(near.type == DeviceType::cuda ? cuda::allocate_pinned(near.index, bytes)
                                            : allocate_host(bytes)),
      bytes_(bytes) {}

}  // namespace lime
