#include "runtime/linear_products.h"

#include "runtime/device_dispatch.h"
#include "runtime/primitives_cuda.h"
#include "runtime/trace.h"

namespace lime {

namespace {

// What the two primitives do not see before one product does their work.
void check(const Context& ctx, const char* name, const ConstView& a, const ConstView& b, const ConstView& c,
           const ConstView& vector, bool shapes) {
  for (const ConstView& v : {a, b, c, vector})
    LIME_CHECK(v.device() == ctx.device(), name, ": a tensor is on ", to_string(v.device()), ", not on ",
               to_string(ctx.device()));
  LIME_CHECK(a.dtype() == b.dtype() &&
                 (c.dtype() == a.dtype() || (a.dtype() == DType::bf16 && c.dtype() == DType::f32)),
             name, ": a product of ", to_string(a.dtype()), " and ", to_string(b.dtype()), " into ",
             to_string(c.dtype()));
  LIME_CHECK(shapes, name, ": ", a.rows(), "x", a.cols(), " and ", b.rows(), "x", b.cols(), " into ",
             c.rows(), "x", c.cols());
  LIME_CHECK(vector.rows() == 1 && vector.cols() == c.cols(), name, ": the vector is ", vector.rows(), "x",
             vector.cols(), ", expected 1x", c.cols());
}

// Asks the device to do all in one product, of which no side may be 0. Whether it has.
template <typename Cuda>
bool one_product(const Context& ctx, const char* name, const ConstView& a, const ConstView& b,
                 const Cuda& on_cuda) {
  if (a.empty() || b.empty()) return false;
  return dispatch_device(
      ctx.device(), name, [] { return false; },
      [&] {
        const TraceRange range(ctx, "gemm");
        return on_cuda();
      });
}

// The epilogue that adds the bias, in the type of y.
cuda::Epilogue adding(Context& ctx, const ConstView& y, const ProductBias& bias) {
  const auto with = [](const ConstView& v) {
    return cuda::Epilogue{.kind = cuda::Epilogue::Kind::bias, .vector = const_cast<void*>(v.raw())};
  };
  for (const ConstView& v : {bias.values, bias.in_rows})
    if (v.cols() > 0 && v.dtype() == y.dtype()) return with(v);
  const View rounded = ctx.arena().alloc(y.dtype(), 1, bias.values.cols());
  copy(ctx, bias.values, rounded);
  return with(rounded);
}

}  // namespace

void gemm_bias(Context& ctx, const ConstView& x, const ConstView& w, const ProductBias& bias, View y) {
  check(ctx, "gemm_bias", x, w, y, bias.values,
        x.cols() == w.rows() && x.rows() == y.rows() && w.cols() == y.cols());
  const Arena::Scope scope(ctx.arena());
  const bool done = one_product(ctx, "gemm_bias", x, w, [&] {
    return cuda::gemm_with(ctx, adding(ctx, y, bias), false, false, 1, x, w, 0, y);
  });
  if (done) return;
  gemm(ctx, Transpose::no, Transpose::no, 1, x, w, 0, y);
  add_bias(ctx, bias.values, y);
}

bool gemm_bias_onto(Context& ctx, const ConstView& x, const ConstView& w, const ProductBias& bias,
                    const ConstView& onto, View y) {
  check(ctx, "gemm_bias_onto", x, w, y, bias.values,
        x.cols() == w.rows() && x.rows() == y.rows() && w.cols() == y.cols() && onto.rows() == y.rows() &&
            onto.cols() == y.cols() && onto.dtype() == y.dtype() && onto.device() == y.device());
  const Arena::Scope scope(ctx.arena());
  return one_product(ctx, "gemm_bias_onto", x, w, [&] {
    cuda::Epilogue with = adding(ctx, y, bias);
    with.onto = onto;
    return cuda::gemm_with(ctx, with, false, false, 1, x, w, 1, y);
  });
}

void gemm_bias_gradient(Context& ctx, const ConstView& x, const ConstView& dy, View dw, View dbias) {
  check(ctx, "gemm_bias_gradient", x, dy, dw, dbias,
        x.rows() == dy.rows() && x.cols() == dw.rows() && dy.cols() == dw.cols());
  const Arena::Scope scope(ctx.arena());
  const bool done = one_product(ctx, "gemm_bias_gradient", x, dy, [&] {
    if (dbias.dtype() != dw.dtype()) return false;
    const View sums = ctx.arena().alloc(dbias.dtype(), 1, dbias.cols());
    const cuda::Epilogue with_sums{cuda::Epilogue::Kind::bias_gradient, sums.raw()};
    if (!cuda::gemm_with(ctx, with_sums, true, false, 1, x, dy, 1, dw)) return false;
    add(ctx, sums, dbias);  // the library overwrites
    return true;
  });
  if (done) return;
  gemm(ctx, Transpose::yes, Transpose::no, 1, x, dy, 1, dw);
  column_sum(ctx, dy, GradMode::accumulate, dbias);
}

}  // namespace lime
