// Choice of kernel by device and type, for the operations of this folder that are not made of primitives
// alone.
#pragma once

#include "runtime/context.h"
#include "runtime/device_dispatch.h"
#include "runtime/error.h"

namespace lime {

// Calls on_cpu(T{}) with T the context's compute type (f32 or f64 on the CPU), or on_cuda(), which chooses by
// type itself (with_row_type of runtime/cuda_kernel.h):
//   dispatch(ctx, "scale", [&](auto) { cpu::scale(...); }, [&] { cuda::scale(ctx, ...); });
template <typename Cpu, typename Cuda>
decltype(auto) dispatch(const Context& ctx, const char* operation, const Cpu& on_cpu, const Cuda& on_cuda) {
  return dispatch_device(
      ctx.device(), operation,
      [&]() -> decltype(auto) { return ctx.dtype() == DType::f32 ? on_cpu(float{}) : on_cpu(double{}); },
      on_cuda);
}

// An operation without a CUDA kernel: one clear error there.
template <typename F>
decltype(auto) dispatch_cpu(const Context& ctx, const char* operation, const F& f) {
  return dispatch(ctx, operation, f, NoCudaKernel{});
}

inline void check_view(const Context& ctx, const ConstView& v, int64_t rows, int64_t cols, DType dtype,
                       const char* what) {
  LIME_CHECK(v.rows() == rows && v.cols() == cols, what, " is ", v.rows(), "x", v.cols(), ", expected ", rows,
             "x", cols);
  LIME_CHECK(v.dtype() == dtype && v.device() == ctx.device(), what, " is ", to_string(v.dtype()), " on ",
             to_string(v.device()), ", expected ", to_string(dtype), " on ", to_string(ctx.device()));
}

// Checks that a view is rows x cols of the context's type, on its device.
inline void check_shape(const Context& ctx, const ConstView& v, int64_t rows, int64_t cols,
                        const char* what) {
  check_view(ctx, v, rows, cols, ctx.dtype(), what);
}

// ... of the parameters' type: gains, biases, gradients of parameters, row statistics, logits.
inline void check_parameter(const Context& ctx, const ConstView& v, int64_t rows, int64_t cols,
                            const char* what) {
  check_view(ctx, v, rows, cols, ctx.parameter_dtype(), what);
}

}  // namespace lime
