// Choice of kernel by device and type, for the operations of this folder that are not made of primitives
// alone.
#pragma once

#include "runtime/context.h"
#include "runtime/error.h"

namespace lime {

// Calls f(T{}) with T the context's compute type. A device for which this build has no kernel is one clear
// error.
template <typename F>
decltype(auto) dispatch_cpu(const Context& ctx, const char* operation, F&& f) {
  if (ctx.device().type != DeviceType::cpu)
    throw UserError(str(operation, ": this build has no kernel for device ", to_string(ctx.device()),
                        "; use device: cpu"));
  LIME_CHECK(ctx.dtype() == DType::f32 || ctx.dtype() == DType::f64, operation, " on ",
             to_string(ctx.dtype()));
  return ctx.dtype() == DType::f32 ? f(float{}) : f(double{});
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
