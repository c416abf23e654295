// Context: what a kernel needs to run, carried in every signature. No default stream, no singletons.
#pragma once

#include <cstdint>
#include <memory>

#include "runtime/arena.h"
#include "runtime/cuda_device.h"
#include "runtime/device.h"
#include "runtime/tensor.h"

namespace lime {

class Tracer;

class Context {
 public:
  // Throws UserError where the device is not available (device.h). `compute` is the type of activations: f32,
  // bf16 (CUDA only: a UserError on the CPU), or f64 for gradient checks.
  explicit Context(Device device = {}, DType compute = DType::f32);
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  Device device() const { return device_; }
  // The type of rows: of activations, and of what is multiplied with them.
  DType dtype() const { return dtype_; }
  // The type of what is not rows: parameters as the optimizer holds them, their gradients, row statistics,
  // logits. f32 where rows are bf16, else that of rows.
  DType parameter_dtype() const { return dtype_ == DType::bf16 ? DType::f32 : dtype_; }
  Arena& arena() { return arena_; }

  // Uninitialised activation memory of the compute type.
  View alloc(int64_t rows, int64_t cols) { return arena_.alloc(dtype_, rows, cols); }
  View zeros(int64_t rows, int64_t cols);
  // ... and of the parameters' type, uninitialised.
  View alloc_parameter(int64_t rows, int64_t cols) { return arena_.alloc(parameter_dtype(), rows, cols); }

  // The stream that all work of this context is given to, in order. CUDA only.
  cuda::Stream& stream() const;
  // Waits until all work so far is done. On the CPU it always is.
  void synchronize();

  // Whether products of f32 matrices may round their inputs to TF32 (10 bits of mantissa) for speed. CUDA
  // only.
  bool tf32() const { return tf32_; }
  void allow_tf32(bool allow) { tf32_ = allow; }

  // How many rows of `cols` columns a fused layer should work on at a time, so that a tile stays in cache
  // (CPU, about half of L2) or fills the device (CUDA: all of them). A function of the shape alone, never
  // of the load.
  int64_t tile_rows(int64_t cols) const;

  // Where trace ranges go (trace.h); null: nowhere.
  Tracer* tracer() const { return tracer_; }
  void set_tracer(Tracer* tracer) { tracer_ = tracer; }

 private:
  Device device_;
  DType dtype_;
  Arena arena_;
  std::unique_ptr<cuda::Stream> stream_;  // null on the CPU; after the arena, so that its work ends first
  bool tf32_ = false;
  Tracer* tracer_ = nullptr;
};

}  // namespace lime
