#include "runtime/primitives.h"

#include <algorithm>
#include <cstring>
#include <initializer_list>
#include <type_traits>

#include "runtime/kernels_cpu.h"
#include "runtime/primitives_cpu.h"

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

// Calls f with a value of the element type. All views must be of that type and on the context's device.
template <typename F>
auto with_type(const Context& ctx, std::initializer_list<ConstView> views, F f) {
  const DType dtype = views.begin()->dtype();
  for (const ConstView& view : views) {
    check_device(ctx, view);
    LIME_CHECK(view.dtype() == dtype, "tensors of types ", to_string(dtype), " and ",
               to_string(view.dtype()));
  }
  LIME_CHECK(dtype != DType::i64, "no arithmetic on i64 tensors");
  return dtype == DType::f32 ? f(float{}) : f(double{});
}

template <typename T>
cpu::Matrix<const T> in(const ConstView& v) {
  return {v.data<T>(), v.rows(), v.cols(), v.stride()};
}

template <typename T>
cpu::Matrix<T> out(const View& v) {
  return {v.data<T>(), v.rows(), v.cols(), v.stride()};
}

// A segment's rows as the one or many rows that the kernels see.
template <typename T>
cpu::Matrix<T> rows_of(const cpu::Matrix<T>& m, int64_t begin, int64_t end) {
  return {m.row(begin), end - begin, m.cols, m.stride};
}

void check_jagged(const char* what, const ConstView& rows, const Jagged& jagged, const ConstView& segments) {
  check_shape(what, rows, jagged.rows(), segments.cols());
  LIME_CHECK(segments.rows() == jagged.segments(), segments.rows(), " rows for ", jagged.segments(),
             " segments");
}

template <typename From, typename To>
void convert(const ConstView& x, const View& y) {
  for (int64_t i = 0; i < x.rows(); ++i) {
    if constexpr (std::is_same_v<From, To>) {
      std::memcpy(y.row<To>(i), x.row<From>(i), static_cast<size_t>(x.cols()) * sizeof(To));
    } else {
      std::transform(x.row<From>(i), x.row<From>(i) + x.cols(), y.row<To>(i),
                     [](From v) { return static_cast<To>(v); });
    }
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
  with_type(ctx, {a, b, c}, [&]<typename T>(T) {
    if (c.empty()) return;
    if (k == 0) {  // an empty sum
      beta == 0 ? fill(ctx, c, 0) : scale(ctx, beta, c);
      return;
    }
    cpu::gemm<T>(at, bt, static_cast<T>(alpha), in<T>(a), in<T>(b), static_cast<T>(beta), out<T>(c));
  });
}

// --- elementwise -----------------------------------------------------------------------------------------

void fill(Context& ctx, View x, double value) {
  with_type(ctx, {x}, [&]<typename T>(T) { cpu::kernels<T>().fill(out<T>(x), static_cast<T>(value)); });
}

void copy(Context& ctx, const ConstView& x, View y) {
  check_same_shape("copy: y", y, x);
  check_device(ctx, x);
  check_device(ctx, y);
  if (x.empty()) return;
  if (x.dtype() == y.dtype())
    return x.dtype() == DType::f32   ? convert<float, float>(x, y)
           : x.dtype() == DType::f64 ? convert<double, double>(x, y)
                                     : convert<int64_t, int64_t>(x, y);
  LIME_CHECK(x.dtype() != DType::i64 && y.dtype() != DType::i64, "copy: i64 is not converted");
  x.dtype() == DType::f32 ? convert<float, double>(x, y) : convert<double, float>(x, y);
}

void add(Context& ctx, const ConstView& x, View y) {
  check_same_shape("add: y", y, x);
  with_type(ctx, {x, y}, [&]<typename T>(T) { cpu::kernels<T>().add(in<T>(x), out<T>(y)); });
}

void axpy(Context& ctx, double alpha, const ConstView& x, View y) {
  check_same_shape("axpy: y", y, x);
  with_type(ctx, {x, y},
            [&]<typename T>(T) { cpu::kernels<T>().axpy(static_cast<T>(alpha), in<T>(x), out<T>(y)); });
}

void scale(Context& ctx, double alpha, View x) {
  with_type(ctx, {x}, [&]<typename T>(T) { cpu::kernels<T>().scale(static_cast<T>(alpha), out<T>(x)); });
}

void multiply(Context& ctx, const ConstView& a, const ConstView& b, View y) {
  check_same_shape("multiply: b", b, a);
  check_same_shape("multiply: y", y, a);
  with_type(ctx, {a, b, y},
            [&]<typename T>(T) { cpu::kernels<T>().multiply(in<T>(a), in<T>(b), out<T>(y)); });
}

void multiply_add(Context& ctx, const ConstView& a, const ConstView& b, View y) {
  check_same_shape("multiply_add: b", b, a);
  check_same_shape("multiply_add: y", y, a);
  with_type(ctx, {a, b, y},
            [&]<typename T>(T) { cpu::kernels<T>().multiply_add(in<T>(a), in<T>(b), out<T>(y)); });
}

void silu(Context& ctx, const ConstView& x, View y) {
  check_same_shape("silu: y", y, x);
  with_type(ctx, {x, y}, [&]<typename T>(T) { cpu::kernels<T>().silu(in<T>(x), out<T>(y)); });
}

void silu_backward(Context& ctx, const ConstView& x, const ConstView& dy, View dx) {
  check_same_shape("silu_backward: dy", dy, x);
  check_same_shape("silu_backward: dx", dx, x);
  with_type(ctx, {x, dy, dx},
            [&]<typename T>(T) { cpu::kernels<T>().silu_backward(in<T>(x), in<T>(dy), out<T>(dx)); });
}

// --- rows and columns ------------------------------------------------------------------------------------

void add_bias(Context& ctx, const ConstView& bias, View y) {
  check_shape("add_bias: bias", bias, 1, y.cols());
  with_type(ctx, {bias, y}, [&]<typename T>(T) { cpu::kernels<T>().add_bias(bias.data<T>(), out<T>(y)); });
}

void bias_silu(Context& ctx, const ConstView& bias, View z, View y) {
  check_shape("bias_silu: bias", bias, 1, z.cols());
  check_same_shape("bias_silu: y", y, z);
  with_type(ctx, {bias, z, y},
            [&]<typename T>(T) { cpu::kernels<T>().bias_silu(bias.data<T>(), out<T>(z), out<T>(y)); });
}

void column_sum(Context& ctx, const ConstView& x, GradMode mode, View sum) {
  check_shape("column_sum: sum", sum, 1, x.cols());
  with_type(ctx, {x, sum}, [&]<typename T>(T) {
    cpu::kernels<T>().column_sum(in<T>(x), mode == GradMode::accumulate, sum.data<T>());
  });
}

void softmax_rows(Context& ctx, View x) {
  with_type(ctx, {x}, [&]<typename T>(T) {
    if (!x.empty()) cpu::kernels<T>().softmax_rows(out<T>(x));
  });
}

void softmax_rows_backward(Context& ctx, const ConstView& y, const ConstView& dy, View dx) {
  check_same_shape("softmax_rows_backward: dy", dy, y);
  check_same_shape("softmax_rows_backward: dx", dx, y);
  with_type(ctx, {y, dy, dx},
            [&]<typename T>(T) { cpu::kernels<T>().softmax_rows_backward(in<T>(y), in<T>(dy), out<T>(dx)); });
}

void layer_norm(Context& ctx, const ConstView& x, const ConstView& gain, const ConstView& bias, double eps,
                View y, View mean, View rstd) {
  check_shape("layer_norm: gain", gain, 1, x.cols());
  check_shape("layer_norm: bias", bias, 1, x.cols());
  check_same_shape("layer_norm: y", y, x);
  check_shape("layer_norm: mean", mean, x.rows(), 1);
  check_shape("layer_norm: rstd", rstd, x.rows(), 1);
  with_type(ctx, {x, gain, bias, y, mean, rstd}, [&]<typename T>(T) {
    if (x.empty()) return;
    cpu::kernels<T>().layer_norm(in<T>(x), gain.data<T>(), bias.data<T>(), static_cast<T>(eps), out<T>(y),
                                 out<T>(mean), out<T>(rstd));
  });
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
  with_type(ctx, {x, gain, mean, rstd, dy, dx, dgain, dbias}, [&]<typename T>(T) {
    if (x.cols() == 0) return;
    cpu::kernels<T>().layer_norm_backward(in<T>(x), gain.data<T>(), in<T>(mean), in<T>(rstd), in<T>(dy),
                                          input == GradMode::accumulate, out<T>(dx),
                                          params == GradMode::accumulate, dgain.data<T>(), dbias.data<T>());
  });
}

// --- jagged ----------------------------------------------------------------------------------------------

void segment_mean(Context& ctx, const ConstView& x, const Jagged& jagged, View y) {
  check_jagged("segment_mean: x", x, jagged, y);
  with_type(ctx, {x, y}, [&]<typename T>(T) {
    const auto& k = cpu::kernels<T>();
    for (int64_t b = 0; b < jagged.segments(); ++b) {
      const auto mean = rows_of(out<T>(y), b, b + 1);
      k.column_sum(rows_of(in<T>(x), jagged.begin(b), jagged.end(b)), false, mean.data);
      if (jagged.length(b) > 0) k.scale(T{1} / static_cast<T>(jagged.length(b)), mean);
    }
  });
}

void segment_mean_backward(Context& ctx, const ConstView& dy, const Jagged& jagged, GradMode mode, View dx) {
  check_jagged("segment_mean_backward: dx", dx, jagged, dy);
  with_type(ctx, {dy, dx}, [&]<typename T>(T) {
    const auto& k = cpu::kernels<T>();
    for (int64_t b = 0; b < jagged.segments(); ++b) {
      for (int64_t i = jagged.begin(b); i < jagged.end(b); ++i) {
        const auto row = rows_of(out<T>(dx), i, i + 1);
        if (mode == GradMode::overwrite) k.fill(row, T{0});
        k.axpy(T{1} / static_cast<T>(jagged.length(b)), rows_of(in<T>(dy), b, b + 1), row);
      }
    }
  });
}

void repeat_rows(Context& ctx, const ConstView& x, const Jagged& jagged, View y) {
  check_jagged("repeat_rows: y", y, jagged, x);
  with_type(ctx, {x, y}, [&]<typename T>(T) {
    if (y.empty()) return;
    for (int64_t b = 0; b < jagged.segments(); ++b) {
      for (int64_t i = jagged.begin(b); i < jagged.end(b); ++i) {
        std::memcpy(y.row<T>(i), x.row<T>(b), static_cast<size_t>(x.cols()) * sizeof(T));
      }
    }
  });
}

void repeat_rows_backward(Context& ctx, const ConstView& dy, const Jagged& jagged, GradMode mode, View dx) {
  check_jagged("repeat_rows_backward: dy", dy, jagged, dx);
  with_type(ctx, {dy, dx}, [&]<typename T>(T) {
    for (int64_t b = 0; b < jagged.segments(); ++b) {
      cpu::kernels<T>().column_sum(rows_of(in<T>(dy), jagged.begin(b), jagged.end(b)),
                                   mode == GradMode::accumulate, dx.row<T>(b));
    }
  });
}

// --- reductions to the host ------------------------------------------------------------------------------

double sum_of_squares(Context& ctx, const ConstView& x) {
  return with_type(ctx, {x}, [&]<typename T>(T) { return cpu::kernels<T>().sum_of_squares(in<T>(x)); });
}

bool all_finite(Context& ctx, const ConstView& x) {
  return with_type(ctx, {x}, [&]<typename T>(T) { return cpu::kernels<T>().all_finite(in<T>(x)); });
}

}  // namespace lime
