// What CUDA C++ has beyond C++, for kernels compiled by the C++ compiler: qualifiers, vector types, built-in
// variables, intrinsics. As in CUDA, all of it is in the global namespace. What kernels of this project do
// not use is not here.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

#include "runtime/emulator/race_check.h"

#define __global__ static
#define __device__
#define __host__
#define __shared__ static
#define __constant__ static
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)

struct uint3 {
  uint32_t x, y, z;
};
struct dim3 {
  uint32_t x = 1, y = 1, z = 1;
  constexpr dim3(uint32_t nx = 1, uint32_t ny = 1, uint32_t nz = 1) : x(nx), y(ny), z(nz) {}
};

// Set by the emulator whenever a thread gets its turn.
inline uint3 threadIdx, blockIdx;
inline dim3 blockDim, gridDim;
inline constexpr int warpSize = 32;

struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(16) double2 {
  double x, y;
};
struct alignas(8) int2 {
  int x, y;
};
struct alignas(16) int4 {
  int x, y, z, w;
};
struct alignas(8) uint2 {
  uint32_t x, y;
};
struct alignas(16) uint4 {
  uint32_t x, y, z, w;
};
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline double2 make_double2(double x, double y) { return {x, y}; }
inline int2 make_int2(int x, int y) { return {x, y}; }
inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
inline uint2 make_uint2(uint32_t x, uint32_t y) { return {x, y}; }
inline uint4 make_uint4(uint32_t x, uint32_t y, uint32_t z, uint32_t w) { return {x, y, z, w}; }

// --- arithmetic
// -----------------------------------------------------------------------------------------------------
using std::max;
using std::min;
namespace lime::emulator {
// A function's value y at x, off by `share` of itself to the one side or the other, as x's bits have it: what
// a GPU may give. Zero, powers of two and what is not finite are exact there, too.
inline float inexact(float y, float x, float share) {
  int exponent;
  if (!std::isfinite(y) || y == 0 || std::abs(std::frexp(y, &exponent)) == 0.5f) return y;
  const bool larger = (std::bit_cast<uint32_t>(x) * 2654435761u >> 31) != 0;
  return y + (larger ? y : -y) * share;
}
}  // namespace lime::emulator
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline double rsqrt(double x) { return 1.0 / std::sqrt(x); }
inline float __expf(float x) { return std::exp(x); }
inline float __logf(float x) { return std::log(x); }
inline float __fdividef(float x, float y) { return x / y; }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline float __fmaf_rn(float x, float y, float z) { return std::fma(x, y, z); }
inline uint32_t __float_as_uint(float x) { return std::bit_cast<uint32_t>(x); }
inline float __uint_as_float(uint32_t x) { return std::bit_cast<float>(x); }
inline int __popc(uint32_t x) { return std::popcount(x); }
inline int __popcll(unsigned long long x) { return std::popcount(x); }
inline int __ffs(uint32_t x) { return x == 0 ? 0 : std::countr_zero(x) + 1; }
inline int __clz(uint32_t x) { return std::countl_zero(x); }
inline uint32_t __umulhi(uint32_t x, uint32_t y) { return static_cast<uint32_t>(uint64_t{x} * y >> 32); }
template <typename T>
T __ldg(const T* p) {
  return *p;
}

// --- atomics, of integers alone: nothing sums floats in an order that time decides
// ---------------------------------- 32 bits signed and unsigned, and 64 bits unsigned, as on the device.
template <typename T>
concept AtomicInteger =
    std::is_same_v<T, int> || std::is_same_v<T, unsigned> || std::is_same_v<T, unsigned long long>;
namespace lime::emulator {
template <typename T, typename F>
__forceinline__ T replace(T* p, F f) {
  const race::Atomic atomic;
  const T old = *p;
  *p = f(old);
  return old;
}
}  // namespace lime::emulator
template <AtomicInteger T>
T atomicAdd(T* p, std::type_identity_t<T> v) {
  return lime::emulator::replace(p, [=](T old) { return static_cast<T>(old + v); });
}
template <AtomicInteger T>
T atomicMax(T* p, std::type_identity_t<T> v) {
  return lime::emulator::replace(p, [=](T old) { return std::max(old, v); });
}
template <AtomicInteger T>
T atomicMin(T* p, std::type_identity_t<T> v) {
  return lime::emulator::replace(p, [=](T old) { return std::min(old, v); });
}
template <AtomicInteger T>
T atomicOr(T* p, std::type_identity_t<T> v) {
  return lime::emulator::replace(p, [=](T old) { return static_cast<T>(old | v); });
}
template <AtomicInteger T>
T atomicExch(T* p, std::type_identity_t<T> v) {
  return lime::emulator::replace(p, [=](T) { return v; });
}
template <AtomicInteger T>
T atomicCAS(T* p, std::type_identity_t<T> expected, std::type_identity_t<T> v) {
  return lime::emulator::replace(p, [=](T old) { return old == expected ? v : old; });
}
inline void __threadfence() {}
inline void __threadfence_block() {}
