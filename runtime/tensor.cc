#include "runtime/tensor.h"

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

std::shared_ptr<void> allocate_host(size_t bytes) {
  const size_t rounded = (bytes + memory_alignment - 1) / memory_alignment * memory_alignment;
  void* memory = std::aligned_alloc(memory_alignment, rounded ? rounded : memory_alignment);
  if (!memory) throw Error(str("out of memory: ", bytes, " bytes wanted"));
  return {memory, std::free};
}

Tensor::Tensor(Device device, DType dtype, int64_t rows, int64_t cols) {
  LIME_CHECK(rows >= 0 && cols >= 0, "tensor of ", rows, "x", cols);
  require_available(device);
  const size_t bytes = static_cast<size_t>(rows) * static_cast<size_t>(cols) * size_of(dtype);
  memory_ = allocate_host(bytes);
  std::memset(memory_.get(), 0, bytes);
  view_ = View(memory_.get(), dtype, device, rows, cols, cols);
}

}  // namespace lime
