#include "embeddings/buffer.h"

#include <cstdlib>
#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "runtime/error.h"

namespace lime {

void FreeMemory::operator()(void* memory) const { std::free(memory); }

void* allocate_uninitialised(size_t bytes) {
  constexpr size_t cache_line = 64, huge_page = size_t{2} << 20;
  const size_t alignment = bytes >= huge_page ? huge_page : cache_line;
  bytes = std::max((bytes + alignment - 1) / alignment * alignment, alignment);
  void* memory = std::aligned_alloc(alignment, bytes);
  if (!memory) throw Error(str("embedding tables: out of memory, ", bytes, " bytes wanted"));
#if defined(__linux__)
  if (alignment == huge_page)
    madvise(memory, bytes, MADV_HUGEPAGE);  // advice: a refusal changes nothing but speed
#endif
  return memory;
}

}  // namespace lime
