#include "runtime/primitives.h"

#include <initializer_list>

#include "runtime/device_dispatch.h"
#include "runtime/primitives_cpu.h"
#include "runtime/primitives_cuda.h"
#include "runtime/primitives_host.h"
#include "runtime/trace.h"

namespace lime {

namespace {

// --- checks ----------------------------------------------------------------------------------------------

void check_shape(const char* what, const ConstView& v, int64_t rows, int64_t cols) {
  LIME_CHECK(v.rows() == rows && v.cols() == cols, what, " is ", v.rows(), "x", v.cols(), ", expected ", rows,
             "x", cols);
}

void check_same_shape(const char* what, const ConstView& v, const ConstView& like) {
  check_shape(what, v, like.rows(), like.cols());
}

void check_device(const Context& ctx, const ConstView& v) {
  LIME_CHECK(v.device() == ctx.device(), "a tensor is on ", to_string(v.device()), ", not on ",
             to_string(ctx.device()));
}

// The type that parameters and row statistics have beside rows of `dtype`.
DType parameter_type(DType dtype) { return dtype == DType::bf16 ? DType::f32 : dtype; }

// Checks that all views are on the context's device, those of rows of one type, and the others of the type
// that goes with it. Then calls on_cpu with a value of that type, or on_cuda.
template <typename Cpu, typename Cuda>
auto run(const Context& ctx, const char* name, std::initializer_list<ConstView> rows,
         std::initializer_list<ConstView> parameters, Cpu on_cpu, Cuda on_cuda) {
  const DType dtype = rows.begin()->dtype();
  for (const ConstView& view : rows) {
    check_device(ctx, view);
    LIME_CHECK(view.dtype() == dtype, name, ": tensors of types ", to_string(dtype), " and ",
               to_string(view.dtype()));
  }
  for (const ConstView& view : parameters) {
    check_device(ctx, view);
    LIME_CHECK(view.dtype() == parameter_type(dtype), name, ": rows of ", to_string(dtype),
               " go with parameters of ", to_string(parameter_type(dtype)), ", not ",
               to_string(view.dtype()));
  }
  LIME_CHECK(dtype != DType::i64, name, ": no arithmetic on i64 tensors");
  return dispatch_device(
      ctx.device(), name,
      [&] {
        LIME_CHECK(dtype != DType::bf16, name, ": bf16 is computed with on CUDA devices only");
        return dtype == DType::f32 ? on_cpu(float{}) : on_cpu(double{});
      },
      on_cuda);
}

void check_jagged(const Context& ctx, const char* what, const ConstView& rows, const Jagged& jagged,
                  const ConstView& segments) {
  check_shape(what, rows, jagged.rows(), segments.cols());
  LIME_CHECK(ctx.device().type == DeviceType::cpu || jagged.segments() == 0 ||
                 jagged.device() != jagged.host().data(),
             what, ": the offsets are not on ", to_string(ctx.device()));
  LIME_CHECK(segments.rows() == jagged.segments(), segments.rows(), " rows for ", jagged.segments(),
             " segments");
}

// Between the host and a CUDA device, one type.
void copy_across(Context& ctx, const ConstView& x, const View& y) {
  LIME_CHECK(x.dtype() == y.dtype(), "copy: ", to_string(x.dtype()), " becomes ", to_string(y.dtype()),
             " on a device, not on the way to it");
  const size_t element = size_of(x.dtype());
  const auto pitch = [&](const ConstView& v) { return static_cast<size_t>(v.stride()) * element; };
  const cuda::Stream::Rows rows{x.rows(), static_cast<size_t>(x.cols()) * element};
  if (x.device() == Device{}) {
    ctx.stream().to_device(x.raw(), pitch(x), y.raw(), pitch(y), rows);
  } else {
    ctx.stream().to_host(x.raw(), pitch(x), y.raw(), pitch(y), rows);
  }
}

}  // namespace

void gemm(Context& ctx, Transpose ta, Transpose tb, double alpha, const ConstView& a, const ConstView& b,
          double beta, View c) {
  const bool at = ta == Transpose::yes, bt = tb == Transpose::yes;
  const int64_t m = at ? a.cols() : a.rows(), k = at ? a.rows() : a.cols();
  const int64_t inner = bt ? b.cols() : b.rows(), n = bt ? b.rows() : b.cols();
  LIME_CHECK(k == inner, "gemm: op(a) is ", m, "x", k, ", op(b) is ", inner, "x", n);
  check_shape("gemm: c", c, m, n);
  check_device(ctx, c);
  LIME_CHECK(c.dtype() == a.dtype() || (a.dtype() == DType::bf16 && c.dtype() == DType::f32),
             "gemm: a product of ", to_string(a.dtype()), " into ", to_string(c.dtype()));
  if (c.empty()) return;
  if (k == 0) return beta == 0 ? fill(ctx, c, 0) : scale(ctx, beta, c);  // an empty sum
  run(
      ctx, "gemm", {a, b}, {},
      [&]<typename T>(T) {
        cpu::gemm<T>(at, bt, static_cast<T>(alpha), in<T>(a), in<T>(b), static_cast<T>(beta), out<T>(c));
      },
      [&] {
        const TraceRange range(ctx, "gemm");
        cuda::gemm(ctx, at, bt, alpha, a, b, beta, c);
      });
}

// --- elementwise -----------------------------------------------------------------------------------------

void fill(Context& ctx, View x, double value) {
  run(
      ctx, "fill", {x}, {}, [&]<typename T>(T) { cpu::kernels<T>().fill(out<T>(x), static_cast<T>(value)); },
      [&] { cuda::fill(ctx, x, value); });
}

void copy(Context& ctx, const ConstView& x, View y) {
  check_same_shape("copy: y", y, x);
  const bool host_x = x.device() == Device{}, host_y = y.device() == Device{};
  if (ctx.device() == Device{} || !(host_x || host_y)) {
    check_device(ctx, x);
    check_device(ctx, y);
  } else {
    check_device(ctx, host_x ? ConstView(y) : x);
  }
  LIME_CHECK((x.dtype() == DType::i64) == (y.dtype() == DType::i64), "copy: i64 is not converted");
  if (x.empty()) return;
  dispatch_device(
      ctx.device(), "copy", [&] { copy_on_host(x, y); },
      [&] { host_x || host_y ? copy_across(ctx, x, y) : cuda::copy(ctx, x, y); });
}

void add(Context& ctx, const ConstView& x, View y) {
  check_same_shape("add: y", y, x);
  run(
      ctx, "add", {x, y}, {}, [&]<typename T>(T) { cpu::kernels<T>().add(in<T>(x), out<T>(y)); },
      [&] { cuda::add(ctx, x, y); });
}

void scale(Context& ctx, double alpha, View x) {
  run(
      ctx, "scale", {x}, {},
      [&]<typename T>(T) { cpu::kernels<T>().scale(static_cast<T>(alpha), out<T>(x)); },
      [&] { cuda::scale(ctx, alpha, x); });
}

void multiply(Context& ctx, const ConstView& a, const ConstView& b, View y) {
  check_same_shape("multiply: b", b, a);
  check_same_shape("multiply: y", y, a);
  run(
      ctx, "multiply", {a, b, y}, {},
      [&]<typename T>(T) { cpu::kernels<T>().multiply(in<T>(a), in<T>(b), out<T>(y)); },
      [&] { cuda::multiply(ctx, a, b, y); });
}

void multiply_add(Context& ctx, const ConstView& a, const ConstView& b, View y) {
  check_same_shape("multiply_add: b", b, a);
  check_same_shape("multiply_add: y", y, a);
  run(
      ctx, "multiply_add", {a, b, y}, {},
      [&]<typename T>(T) { cpu::kernels<T>().multiply_add(in<T>(a), in<T>(b), out<T>(y)); },
      [&] { cuda::multiply_add(ctx, a, b, y); });
}

void silu(Context& ctx, const ConstView& x, View y) {
  check_same_shape("silu: y", y, x);
  run(
      ctx, "silu", {x, y}, {}, [&]<typename T>(T) { cpu::kernels<T>().silu(in<T>(x), out<T>(y)); },
      [&] { cuda::silu(ctx, x, y); });
}

void silu_backward(Context& ctx, const ConstView& x, const ConstView& dy, View dx) {
  check_same_shape("silu_backward: dy", dy, x);
  check_same_shape("silu_backward: dx", dx, x);
  run(
      ctx, "silu_backward", {x, dy, dx}, {},
      [&]<typename T>(T) { cpu::kernels<T>().silu_backward(in<T>(x), in<T>(dy), out<T>(dx)); },
      [&] { cuda::silu_backward(ctx, x, dy, dx); });
}

// --- rows and columns ------------------------------------------------------------------------------------

void add_bias(Context& ctx, const ConstView& bias, View y) {
  check_shape("add_bias: bias", bias, 1, y.cols());
  run(
      ctx, "add_bias", {y}, {bias},
      [&]<typename T>(T) { cpu::kernels<T>().add_bias(bias.data<T>(), out<T>(y)); },
      [&] { cuda::add_bias(ctx, bias, y); });
}

void bias_silu(Context& ctx, const ConstView& bias, View z, View y) {
  check_shape("bias_silu: bias", bias, 1, z.cols());
  check_same_shape("bias_silu: y", y, z);
  run(
      ctx, "bias_silu", {z, y}, {bias},
      [&]<typename T>(T) { cpu::kernels<T>().bias_silu(bias.data<T>(), out<T>(z), out<T>(y)); },
      [&] { cuda::bias_silu(ctx, bias, z, y); });
}

void column_sum(Context& ctx, const ConstView& x, GradMode mode, View sum) {
  check_shape("column_sum: sum", sum, 1, x.cols());
  run(
      ctx, "column_sum", {x}, {sum},
      [&]<typename T>(T) {
        cpu::kernels<T>().column_sum(in<T>(x), mode == GradMode::accumulate, sum.data<T>());
      },
      [&] { cuda::column_sum(ctx, x, mode, sum); });
}

void softmax_rows(Context& ctx, View x) {
  if (x.empty()) return;
  run(
      ctx, "softmax_rows", {x}, {}, [&]<typename T>(T) { cpu::kernels<T>().softmax_rows(out<T>(x)); },
      [&] { cuda::softmax_rows(ctx, x); });
}

void softmax_rows_backward(Context& ctx, const ConstView& y, const ConstView& dy, View dx) {
  check_same_shape("softmax_rows_backward: dy", dy, y);
  check_same_shape("softmax_rows_backward: dx", dx, y);
  run(
      ctx, "softmax_rows_backward", {y, dy, dx}, {},
      [&]<typename T>(T) { cpu::kernels<T>().softmax_rows_backward(in<T>(y), in<T>(dy), out<T>(dx)); },
      [&] { cuda::softmax_rows_backward(ctx, y, dy, dx); });
}

void layer_norm(Context& ctx, const ConstView& x, const ConstView& gain, const ConstView& bias, double eps,
                View y, View mean, View rstd) {
  check_shape("layer_norm: gain", gain, 1, x.cols());
  check_shape("layer_norm: bias", bias, 1, x.cols());
  check_same_shape("layer_norm: y", y, x);
  check_shape("layer_norm: mean", mean, x.rows(), 1);
  check_shape("layer_norm: rstd", rstd, x.rows(), 1);
  if (x.empty()) return;
  run(
      ctx, "layer_norm", {x, y}, {gain, bias, mean, rstd},
      [&]<typename T>(T) {
        cpu::kernels<T>().layer_norm(in<T>(x), gain.data<T>(), bias.data<T>(), static_cast<T>(eps), out<T>(y),
                                     out<T>(mean), out<T>(rstd));
      },
      [&] { cuda::layer_norm(ctx, x, gain, bias, eps, y, mean, rstd); });
}

void layer_norm_backward(Context& ctx, const ConstView& x, const ConstView& gain, const ConstView& mean,
                         const ConstView& rstd, const ConstView& dy, GradMode input, View dx, GradMode params,
                         View dgain, View dbias) {
  check_shape("layer_norm_backward: gain", gain, 1, x.cols());
  check_shape("layer_norm_backward: mean", mean, x.rows(), 1);
  check_shape("layer_norm_backward: rstd", rstd, x.rows(), 1);
  check_same_shape("layer_norm_backward: dy", dy, x);
  check_same_shape("layer_norm_backward: dx", dx, x);
  check_shape("layer_norm_backward: dgain", dgain, 1, x.cols());
  check_shape("layer_norm_backward: dbias", dbias, 1, x.cols());
  if (x.cols() == 0) return;
  run(
      ctx, "layer_norm_backward", {x, dy, dx}, {gain, mean, rstd, dgain, dbias},
      [&]<typename T>(T) {
        cpu::kernels<T>().layer_norm_backward(
            in<T>(x), gain.data<T>(), in<T>(mean), in<T>(rstd), in<T>(dy), input == GradMode::accumulate,
            out<T>(dx), params == GradMode::accumulate, dgain.data<T>(), dbias.data<T>());
      },
      [&] { cuda::layer_norm_backward(ctx, x, gain, mean, rstd, dy, input, dx, params, dgain, dbias); });
}

// --- jagged ----------------------------------------------------------------------------------------------

void segment_mean(Context& ctx, const ConstView& x, const Jagged& jagged, View y) {
  check_jagged(ctx, "segment_mean: x", x, jagged, y);
  run(
      ctx, "segment_mean", {x, y}, {}, [&]<typename T>(T) { segment_mean_on_host<T>(x, jagged, y); },
      [&] { cuda::segment_mean(ctx, x, jagged, y); });
}

void segment_mean_backward(Context& ctx, const ConstView& dy, const Jagged& jagged, GradMode mode, View dx) {
  check_jagged(ctx, "segment_mean_backward: dx", dx, jagged, dy);
  run(
      ctx, "segment_mean_backward", {dy, dx}, {},
      [&]<typename T>(T) { segment_mean_backward_on_host<T>(dy, jagged, mode, dx); },
      [&] { cuda::segment_mean_backward(ctx, dy, jagged, mode, dx); });
}

void repeat_rows(Context& ctx, const ConstView& x, const Jagged& jagged, View y) {
  check_jagged(ctx, "repeat_rows: y", y, jagged, x);
  if (y.empty()) return;
  run(
      ctx, "repeat_rows", {x, y}, {}, [&]<typename T>(T) { repeat_rows_on_host<T>(x, jagged, y); },
      [&] { cuda::repeat_rows(ctx, x, jagged, y); });
}

void repeat_rows_backward(Context& ctx, const ConstView& dy, const Jagged& jagged, GradMode mode, View dx) {
  check_jagged(ctx, "repeat_rows_backward: dy", dy, jagged, dx);
  run(
      ctx, "repeat_rows_backward", {dy, dx}, {},
      [&]<typename T>(T) { repeat_rows_backward_on_host<T>(dy, jagged, mode, dx); },
      [&] { cuda::repeat_rows_backward(ctx, dy, jagged, mode, dx); });
}

// --- reductions of all of a view --------------------------------------------------------------------------

void sum_of_squares(Context& ctx, const ConstView& x, View sum) {
  LIME_CHECK(sum.rows() == 1 && sum.cols() == 1 && sum.dtype() == DType::f64 && sum.device() == ctx.device(),
             "sum_of_squares: a sum of ", sum.rows(), "x", sum.cols(), " ", to_string(sum.dtype()), " on ",
             to_string(sum.device()));
  run(
      ctx, "sum_of_squares", {x}, {},
      [&]<typename T>(T) { *sum.data<double>() = cpu::kernels<T>().sum_of_squares(in<T>(x)); },
      [&] { cuda::sum_of_squares(ctx, x, sum); });
}

}  // namespace lime
