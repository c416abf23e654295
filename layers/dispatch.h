// Choice of kernel by device and type, for the operations of this folder that are not made of primitives
// alone.
#pragma once

#include "runtime/context.h"
#include "runtime/device_dispatch.h"
#include "runtime/error.h"

namespace lime {

// Calls on_cpu(T{}) with T the context's compute type, or on_cuda(), which chooses by type itself
// (with_row_type of runtime/cuda_kernel.h):
//   dispatch(ctx, "scale", [&](auto) { cpu::scale(...); }, [&] { cuda::scale(ctx, ...); });
template <typename Cpu, typename Cuda>
decltype(auto) dispatch(const Context& ctx, const char* operation, const Cpu& on_cpu, const Cuda& on_cuda) {
  LIME_CHECK(ctx.dtype() == DType::f32 || ctx.dtype() == DType::f64, operation, " on ",
             to_string(ctx.dtype()));
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

// Checks that a view is rows x cols of the context's type, on its device.
inline void check_shape(const Context& ctx, const ConstView& v, int64_t rows, int64_t cols,
                        const char* what) {
  LIME_CHECK(v.rows() == rows && v.cols() == cols, what, " is ", v.rows(), "x", v.cols(), ", expected ", rows,
             "x", cols);
  LIME_CHECK(v.dtype() == ctx.dtype() && v.device() == ctx.device(), what, " is ", to_string(v.dtype()),
             " on ", to_string(v.device()));
}

}  // namespace lime
