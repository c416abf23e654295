// Functions of one number for kernels, f32 and f64; see runtime/cuda_kernel.h. Accurate to a few units in the
// last place over the whole range, and right at its ends (infinities, NaN); the compiler's fast mathematics
// is not used.
#pragma once

#include "runtime/cuda_kernel.h"

namespace lime::cuda {

__device__ __forceinline__ float exponential(float x) { return expf(x); }
__device__ __forceinline__ double exponential(double x) { return exp(x); }
__device__ __forceinline__ float logarithm(float x) { return logf(x); }
__device__ __forceinline__ double logarithm(double x) { return log(x); }
__device__ __forceinline__ float square_root(float x) { return sqrtf(x); }
__device__ __forceinline__ double square_root(double x) { return sqrt(x); }
__device__ __forceinline__ float multiply_add(float a, float b, float c) { return fmaf(a, b, c); }
__device__ __forceinline__ double multiply_add(double a, double b, double c) { return fma(a, b, c); }
template <typename T>
__device__ __forceinline__ T magnitude(T x) {
  return x < 0 ? -x : x;
}

// One instruction of the special function unit: wrong by 2^-11 of the result, for what is rounded to bf16
// next.
__device__ __forceinline__ float fast_tanh(float x) {
#ifdef LIME_CUDA_EMULATED
  return tanhf(x);
#else
  float y;
  asm("tanh.approx.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#endif
}

// 2^x, likewise: wrong by 2^-22 of the result.
__device__ __forceinline__ float fast_exp2(float x) {
#ifdef LIME_CUDA_EMULATED
  return exp2f(x);
#else
  float y;
  asm("ex2.approx.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#endif
}

// Below it, sigmoid(x) is 0 in every type.
template <typename T>
inline constexpr T sigmoid_is_zero = T(-1000);

// 1 / (1 + exp(-x)).
template <typename T>
__device__ __forceinline__ T sigmoid(T x) {
  const T e = exponential(-magnitude(x));  // never overflows
  return (x < 0 ? e : T(1)) / (1 + e);
}

// x sigmoid(x).
template <typename T>
__device__ __forceinline__ T silu(T x) {
  if (x < sigmoid_is_zero<T>) return 0;  // -infinity, too
  const T e = exponential(-magnitude(x));
  return (x < 0 ? x * e : x) / (1 + e);
}

// Its derivative, sigmoid(x) (1 + x (1 - sigmoid(x))).
template <typename T>
__device__ __forceinline__ T silu_slope(T x) {
  if (x < sigmoid_is_zero<T>) return 0;
  if (x > -sigmoid_is_zero<T>) return 1;
  const T e = exponential(-magnitude(x));
  const T larger = 1 / (1 + e),
          smaller = e * larger;  // sigmoid(|x|) and 1 - sigmoid(|x|), without cancellation
  return x < 0 ? smaller * multiply_add(x, larger, T(1)) : larger * multiply_add(x, smaller, T(1));
}

}  // namespace lime::cuda
