// Functions of one number for kernels, f32 and f64; see runtime/cuda_kernel.h. Accurate to a few units in the
// last place over the whole range, and right at its ends (infinities, NaN); the compiler's fast mathematics
// is not used.
#pragma once

#include <algorithm>

#include "runtime/cuda_kernel.h"

namespace lime::cuda {

// y = f(x), where a GPU's f is wrong by up to `share` of the result: as wrong in the emulator.
__device__ __forceinline__ float within(float y, [[maybe_unused]] float x, [[maybe_unused]] float share) {
#ifdef LIME_CUDA_EMULATED
  return emulator::inexact(y, x, share);
#else
  return y;
#endif
}

__device__ __forceinline__ float exponential(float x) { return within(expf(x), x, 0x1p-23f); }
__device__ __forceinline__ double exponential(double x) { return exp(x); }
__device__ __forceinline__ float logarithm(float x) { return within(logf(x), x, 0x1p-23f); }
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
  return std::clamp(within(tanhf(x), x, 0x1p-11f), -1.0f, 1.0f);
#else
  float y;
  asm("tanh.approx.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#endif
}

// 2^x, likewise: wrong by 2^-22 of the result, and 0 below 2^-126.
__device__ __forceinline__ float fast_exp2(float x) {
#ifdef LIME_CUDA_EMULATED
  return x < -126 ? 0 : within(exp2f(x), x, 0x1p-22f);
#else
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#endif
}

// e^x for what is computed from it and then stored as T: for bf16 wrong by (1 + |x|) 2^-22.
template <typename T>
__device__ __forceinline__ Compute<T> exponential_as(Compute<T> x) {
  if constexpr (std::is_same_v<T, bf16>) {
    return fast_exp2(x * 1.44269504f);
  } else {
    return exponential(x);
  }
}

// 1 / x for x of at least 1, in one instruction where there is one: wrong by one unit in the last place at
// most, and 0 from 2^126 on. A division that is right to the last bit is eight, and a branch around one more
// way to do it.
__device__ __forceinline__ float reciprocal_of_one_or_more(float x) {
#ifdef LIME_CUDA_EMULATED
  return x >= 0x1p126f ? 0 : within(1 / x, x, 0x1p-23f);
#else
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#endif
}
__device__ __forceinline__ double reciprocal_of_one_or_more(double x) { return 1 / x; }

// 1 / sqrt(x), wrong by two units in the last place at most.
__device__ __forceinline__ float reciprocal_root(float x) {
#ifdef LIME_CUDA_EMULATED
  return within(1 / sqrtf(x), x, 0x1p-22f);
#else
  return rsqrtf(x);
#endif
}
__device__ __forceinline__ double reciprocal_root(double x) { return 1 / sqrt(x); }

// Below it, sigmoid(x) is 0 in every type.
template <typename T>
inline constexpr T sigmoid_is_zero = T(-1000);

// 1 / (1 + exp(-x)).
template <typename T>
__device__ __forceinline__ T sigmoid(T x) {
  const T e = exponential(-magnitude(x));  // never overflows
  return (x < 0 ? e : T(1)) * reciprocal_of_one_or_more(1 + e);
}

// x sigmoid(x), for what is stored as Stored.
template <typename T, typename Stored = T>
__device__ __forceinline__ T silu(T x) {
  T y;
  if constexpr (std::is_same_v<Stored, bf16>) {
    y = x * reciprocal_of_one_or_more(1 + exponential_as<bf16>(-x));  // which may be infinite
  } else {
    const T e = exponential(-magnitude(x));
    y = (x < 0 ? x * e : x) * reciprocal_of_one_or_more(1 + e);
  }
  return x < sigmoid_is_zero<T> ? T(0) : y;  // -infinity, too
}

// Its derivative, sigmoid(x) (1 + x (1 - sigmoid(x))).
template <typename T, typename Stored = T>
__device__ __forceinline__ T silu_slope(T x) {
  T y;
  if constexpr (std::is_same_v<Stored, bf16>) {
    const T p = reciprocal_of_one_or_more(1 + exponential_as<bf16>(-x));
    y = p * multiply_add(x, 1 - p, T(1));
  } else {
    const T e = exponential(-magnitude(x));
    const T larger = reciprocal_of_one_or_more(1 + e),
            smaller = e * larger;  // sigmoid(|x|) and 1 - sigmoid(|x|), without cancellation
    y = (x < 0 ? smaller : larger) * multiply_add(x, x < 0 ? larger : smaller, T(1));
  }
  return x < sigmoid_is_zero<T> ? T(0) : x > -sigmoid_is_zero<T> ? T(1) : y;
}

}  // namespace lime::cuda
