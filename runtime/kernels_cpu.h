// The CPU's vector kernels behind primitives.h: no checks, host pointers, one table of functions an element
// type.
//
// Internal to runtime/. kernels<T>() returns the table for the best instruction set that the CPU has.
#pragma once

#include <cstdint>

namespace lime::cpu {

// Rows x cols with a row stride, in elements.
template <typename T>
struct Matrix {
  T* data;
  int64_t rows, cols, stride;
  T* row(int64_t r) const { return data + r * stride; }
};

template <typename T>
struct Kernels {
  using In = Matrix<const T>;
  using Out = Matrix<T>;

  // Elementwise.
  void (*fill)(Out x, T value);
  void (*add)(In x, Out y);
  void (*axpy)(T alpha, In x, Out y);
  void (*scale)(T alpha, Out x);
  void (*multiply)(In a, In b, Out y);
  void (*multiply_add)(In a, In b, Out y);
  void (*silu)(In x, Out y);
  void (*silu_backward)(In x, In dy, Out dx);

  // Rows and columns.
  void (*add_bias)(const T* bias, Out y);
  void (*bias_silu)(const T* bias, Out z, Out y);
  void (*column_sum)(In x, bool accumulate, T* sum);
  void (*softmax_rows)(Out x);
  void (*softmax_rows_backward)(In y, In dy, Out dx);
  // mean and rstd have strides of their own: columns of any matrix.
  void (*layer_norm)(In x, const T* gain, const T* bias, T eps, Out y, Out mean, Out rstd);
  void (*layer_norm_backward)(In x, const T* gain, In mean, In rstd, In dy, bool accumulate_dx, Out dx,
                              bool accumulate_params, T* dgain, T* dbias);

  // Reductions.
  double (*sum_of_squares)(In x);
};

template <typename T>
const Kernels<T>& kernels();
template <>
const Kernels<float>& kernels<float>();
template <>
const Kernels<double>& kernels<double>();

// c = alpha * op(a) op(b) + beta * c, op by `ta`, `tb`; beta = 0 ignores what c held. For operands that fit
// the caches.
template <typename T>
void panel_gemm(bool ta, bool tb, T alpha, Matrix<const T> a, Matrix<const T> b, T beta, Matrix<T> c);
template <>
void panel_gemm(bool ta, bool tb, float alpha, Matrix<const float> a, Matrix<const float> b, float beta,
                Matrix<float> c);
template <>
void panel_gemm(bool ta, bool tb, double alpha, Matrix<const double> a, Matrix<const double> b, double beta,
                Matrix<double> c);

}  // namespace lime::cpu
