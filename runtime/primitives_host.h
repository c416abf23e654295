// Copies and segments on the CPU behind primitives.h: no checks. Internal to runtime/primitives.cc.
#pragma once

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "runtime/kernels_cpu.h"
#include "runtime/primitives.h"

namespace lime {

template <typename T>
cpu::Matrix<const T> in(const ConstView& v) {
  return {v.data<T>(), v.rows(), v.cols(), v.stride()};
}

template <typename T>
cpu::Matrix<T> out(const View& v) {
  return {v.data<T>(), v.rows(), v.cols(), v.stride()};
}

template <typename From, typename To>
To converted(From x) {
  if constexpr (std::is_same_v<From, bf16>) {
    return to_float(x);
  } else if constexpr (std::is_same_v<To, bf16>) {
    return to_bf16(static_cast<float>(x));
  } else {
    return static_cast<To>(x);
  }
}

template <typename From, typename To>
void convert(const ConstView& x, const View& y) {
  for (int64_t i = 0; i < x.rows(); ++i) {
    if constexpr (std::is_same_v<From, To>) {
      std::memcpy(y.row<To>(i), x.row<From>(i), static_cast<size_t>(x.cols()) * sizeof(To));
    } else {
      std::transform(x.row<From>(i), x.row<From>(i) + x.cols(), y.row<To>(i), converted<From, To>);
    }
  }
}

// Calls f with a value of the element type.
template <typename F>
void with_float_type(DType dtype, F f) {
  dtype == DType::f32 ? f(float{}) : dtype == DType::f64 ? f(double{}) : f(bf16{});
}

inline void copy_on_host(const ConstView& x, const View& y) {
  if (x.dtype() == DType::i64) return convert<int64_t, int64_t>(x, y);
  with_float_type(x.dtype(), [&]<typename From>(From) {
    with_float_type(y.dtype(), [&]<typename To>(To) { convert<From, To>(x, y); });
  });
}

// A segment's rows as the one or many rows that the kernels see.
template <typename T>
cpu::Matrix<T> rows_of(const cpu::Matrix<T>& m, int64_t begin, int64_t end) {
  return {m.row(begin), end - begin, m.cols, m.stride};
}

template <typename T>
void segment_mean_on_host(const ConstView& x, const Jagged& jagged, const View& y) {
  const auto& k = cpu::kernels<T>();
  for (int64_t b = 0; b < jagged.segments(); ++b) {
    const auto mean = rows_of(out<T>(y), b, b + 1);
    k.column_sum(rows_of(in<T>(x), jagged.begin(b), jagged.end(b)), false, mean.data);
    if (jagged.length(b) > 0) k.scale(T{1} / static_cast<T>(jagged.length(b)), mean);
  }
}

template <typename T>
void segment_mean_backward_on_host(const ConstView& dy, const Jagged& jagged, GradMode mode, const View& dx) {
  const auto& k = cpu::kernels<T>();
  for (int64_t b = 0; b < jagged.segments(); ++b) {
    for (int64_t i = jagged.begin(b); i < jagged.end(b); ++i) {
      const auto row = rows_of(out<T>(dx), i, i + 1);
      if (mode == GradMode::overwrite) k.fill(row, T{0});
      k.axpy(T{1} / static_cast<T>(jagged.length(b)), rows_of(in<T>(dy), b, b + 1), row);
    }
  }
}

template <typename T>
void repeat_rows_on_host(const ConstView& x, const Jagged& jagged, const View& y) {
  for (int64_t b = 0; b < jagged.segments(); ++b) {
    for (int64_t i = jagged.begin(b); i < jagged.end(b); ++i)
      std::memcpy(y.row<T>(i), x.row<T>(b), static_cast<size_t>(x.cols()) * sizeof(T));
  }
}

template <typename T>
void repeat_rows_backward_on_host(const ConstView& dy, const Jagged& jagged, GradMode mode, const View& dx) {
  for (int64_t b = 0; b < jagged.segments(); ++b) {
    cpu::kernels<T>().column_sum(rows_of(in<T>(dy), jagged.begin(b), jagged.end(b)),
                                 mode == GradMode::accumulate, dx.row<T>(b));
  }
}

}  // namespace lime
