#include "runtime/tensor.h"

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "runtime/host_memory.h"

namespace lime {

const char* to_string(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return "f32";
    case DType::f64:
      return "f64";
    case DType::i64:
      return "i64";
  }
  return "?";
}

void* allocate_uninitialised(size_t bytes) {
  // Large blocks ask for huge pages: rows that are a power of two apart would otherwise miss in the TLB.
  constexpr size_t huge_page = size_t{2} << 20, smallest_huge = huge_page / 8;
  const size_t alignment = bytes >= smallest_huge ? huge_page : memory_alignment;
  bytes = std::max((bytes + alignment - 1) / alignment * alignment, alignment);
  void* memory = std::aligned_alloc(alignment, bytes);
  if (!memory) throw Error(str("out of memory: ", bytes, " bytes wanted"));
#if defined(__linux__)
  if (alignment == huge_page) madvise(memory, bytes, MADV_HUGEPAGE);  // a refusal changes nothing but speed
#endif
  return memory;
}

std::shared_ptr<void> allocate_host(size_t bytes) { return {allocate_uninitialised(bytes), std::free}; }

Tensor::Tensor(Device device, DType dtype, int64_t rows, int64_t cols) {
  LIME_CHECK(rows >= 0 && cols >= 0, "tensor of ", rows, "x", cols);
  require_available(device);
  const size_t bytes = static_cast<size_t>(rows) * static_cast<size_t>(cols) * size_of(dtype);
  memory_ = allocate_host(bytes);
  std::memset(memory_.get(), 0, bytes);
  view_ = View(memory_.get(), dtype, device, rows, cols, cols);
}

}  // namespace lime
