#include "runtime/tensor.h"

#include <cstring>

#include "runtime/cuda_device.h"
#include "runtime/memory.h"

namespace lime {

const char* to_string(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return "f32";
    case DType::f64:
      return "f64";
    case DType::i64:
      return "i64";
    case DType::bf16:
      return "bf16";
  }
  return "?";
}

Tensor::Tensor(Device device, DType dtype, int64_t rows, int64_t cols) {
  LIME_CHECK(rows >= 0 && cols >= 0, "tensor of ", rows, "x", cols);
  require_available(device);
  const size_t bytes = static_cast<size_t>(rows) * static_cast<size_t>(cols) * size_of(dtype);
  if (device.type == DeviceType::cuda) {
    memory_ = cuda::allocate(device.index, bytes, cuda::Fill::zeros);
  } else {
    memory_ = allocate_memory(device, bytes);
    std::memset(memory_.get(), 0, bytes);
  }
  view_ = View(memory_.get(), dtype, device, rows, cols, cols);
}

}  // namespace lime
