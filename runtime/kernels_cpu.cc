#include "runtime/kernels_cpu.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace lime::cpu {
namespace {

template <typename T>
struct Plain {
  using In = Matrix<const T>;
  using Out = Matrix<T>;
  template <typename F>
  static void each(Out y, F f) {
    for (int64_t i = 0; i < y.rows; ++i)
      for (int64_t j = 0; j < y.cols; ++j) f(i, j);
  }
  static T sigmoid(T x) { return T{1} / (T{1} + std::exp(-x)); }

  static void fill(Out x, T v) { each(x, [&](int64_t i, int64_t j) { x.row(i)[j] = v; }); }
  static void add(In x, Out y) { each(y, [&](int64_t i, int64_t j) { y.row(i)[j] += x.row(i)[j]; }); }
  static void axpy(T a, In x, Out y) { each(y, [&](int64_t i, int64_t j) { y.row(i)[j] += a * x.row(i)[j]; }); }
  static void scale(T a, Out x) { each(x, [&](int64_t i, int64_t j) { x.row(i)[j] *= a; }); }
  static void multiply(In a, In b, Out y) { each(y, [&](int64_t i, int64_t j) { y.row(i)[j] = a.row(i)[j] * b.row(i)[j]; }); }
  static void multiply_add(In a, In b, Out y) { each(y, [&](int64_t i, int64_t j) { y.row(i)[j] += a.row(i)[j] * b.row(i)[j]; }); }
  static void silu(In x, Out y) { each(y, [&](int64_t i, int64_t j) { const T v = x.row(i)[j]; y.row(i)[j] = v * sigmoid(v); }); }
  static void silu_backward(In x, In dy, Out dx) {
    each(dx, [&](int64_t i, int64_t j) {
      const T v = x.row(i)[j], s = sigmoid(v);
      dx.row(i)[j] = dy.row(i)[j] * s * (1 + v * (1 - s));
    });
  }
  static void add_bias(const T* bias, Out y) { each(y, [&](int64_t i, int64_t j) { y.row(i)[j] += bias[j]; }); }
  static void bias_silu(const T* bias, Out z, Out y) {
    each(y, [&](int64_t i, int64_t j) {
      const T v = z.row(i)[j] + bias[j];
      z.row(i)[j] = v;
      y.row(i)[j] = v * sigmoid(v);
    });
  }
  static void column_sum(In x, bool accumulate, T* sum) {
    if (!accumulate) std::fill_n(sum, x.cols, T{0});
    for (int64_t i = 0; i < x.rows; ++i)
      for (int64_t j = 0; j < x.cols; ++j) sum[j] += x.row(i)[j];
  }
  static void softmax_rows(Out x) {
    for (int64_t i = 0; i < x.rows; ++i) {
      T* r = x.row(i);
      const T top = *std::max_element(r, r + x.cols);
      T sum = 0;
      for (int64_t j = 0; j < x.cols; ++j) sum += r[j] = std::exp(r[j] - top);
      for (int64_t j = 0; j < x.cols; ++j) r[j] /= sum;
    }
  }
  static void softmax_rows_backward(In y, In dy, Out dx) {
    for (int64_t i = 0; i < y.rows; ++i) {
      T dot = 0;
      for (int64_t j = 0; j < y.cols; ++j) dot += y.row(i)[j] * dy.row(i)[j];
      for (int64_t j = 0; j < y.cols; ++j) dx.row(i)[j] = y.row(i)[j] * (dy.row(i)[j] - dot);
    }
  }
  static void layer_norm(In x, const T* gain, const T* bias, T eps, Out y, Out mean, Out rstd) {
    for (int64_t i = 0; i < x.rows; ++i) {
      T m = 0, v = 0;
      for (int64_t j = 0; j < x.cols; ++j) m += x.row(i)[j];
      m /= static_cast<T>(x.cols);
      for (int64_t j = 0; j < x.cols; ++j) v += (x.row(i)[j] - m) * (x.row(i)[j] - m);
      const T r = 1 / std::sqrt(v / static_cast<T>(x.cols) + eps);
      for (int64_t j = 0; j < x.cols; ++j) y.row(i)[j] = (x.row(i)[j] - m) * r * gain[j] + bias[j];
      *mean.row(i) = m, *rstd.row(i) = r;
    }
  }
  static void layer_norm_backward(In x, const T* gain, In mean, In rstd, In dy, bool accumulate_dx, Out dx,
                                  bool accumulate_params, T* dgain, T* dbias) {
    if (!accumulate_params) std::fill_n(dgain, x.cols, T{0}), std::fill_n(dbias, x.cols, T{0});
    for (int64_t i = 0; i < x.rows; ++i) {
      const T m = *mean.row(i), r = *rstd.row(i);
      T a = 0, b = 0;
      for (int64_t j = 0; j < x.cols; ++j) {
        const T h = (x.row(i)[j] - m) * r, g = dy.row(i)[j];
        dgain[j] += g * h, dbias[j] += g;
        a += g * gain[j], b += g * gain[j] * h;
      }
      a /= static_cast<T>(x.cols), b /= static_cast<T>(x.cols);
      for (int64_t j = 0; j < x.cols; ++j) {
        const T h = (x.row(i)[j] - m) * r, d = r * (dy.row(i)[j] * gain[j] - a - h * b);
        dx.row(i)[j] = accumulate_dx ? dx.row(i)[j] + d : d;
      }
    }
  }
  static double sum_of_squares(In x) {
    double s = 0;
    for (int64_t i = 0; i < x.rows; ++i)
      for (int64_t j = 0; j < x.cols; ++j) s += double{x.row(i)[j]} * double{x.row(i)[j]};
    return s;
  }
  static bool all_finite(In x) {
    for (int64_t i = 0; i < x.rows; ++i)
      for (int64_t j = 0; j < x.cols; ++j)
        if (!std::isfinite(x.row(i)[j])) return false;
    return true;
  }
  static constexpr Kernels<T> table = {fill, add, axpy, scale, multiply, multiply_add, silu, silu_backward, add_bias, bias_silu, column_sum, softmax_rows, softmax_rows_backward, layer_norm, layer_norm_backward, sum_of_squares, all_finite};
};
}  // namespace
template <>
const Kernels<float>& kernels<float>() { return Plain<float>::table; }
template <>
const Kernels<double>& kernels<double>() { return Plain<double>::table; }
}  // namespace lime::cpu
