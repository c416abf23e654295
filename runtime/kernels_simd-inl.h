// Pieces that the vector kernels share. Included once for every instruction set (Highway's foreach_target),
// so the guard toggles instead of being set once.
#if defined(LIME_RUNTIME_KERNELS_SIMD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LIME_RUNTIME_KERNELS_SIMD_INL_H_
#undef LIME_RUNTIME_KERNELS_SIMD_INL_H_
#else
#define LIME_RUNTIME_KERNELS_SIMD_INL_H_
#endif

#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

#include <cstdint>
#include <cstring>

#include "runtime/kernels_cpu.h"

HWY_BEFORE_NAMESPACE();
namespace lime::cpu {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

template <typename T>
using Tag = hn::ScalableTag<T>;
template <typename T>
using Vec = hn::Vec<Tag<T>>;

// The first n lanes (n at most a vector), zeros behind. Never touches memory beyond them.
template <typename T>
HWY_INLINE Vec<T> load_n(Tag<T> d, const T* p, size_t n) {
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX2
  return hn::MaskedLoad(hn::FirstN(d, n), d, p);
#else
  HWY_ALIGN T lanes[hn::MaxLanes(d)] = {};
  std::memcpy(lanes, p, n * sizeof(T));
  return hn::Load(d, lanes);
#endif
}

template <typename T, class D>
HWY_INLINE void store_n(hn::Vec<D> v, D d, T* p, size_t n) {
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX2 && HWY_MAJOR >= 1  // Ubuntu 22.04 has Highway 0.16
  hn::BlendedStore(v, hn::FirstN(d, n), d, p);
#else
  HWY_ALIGN T lanes[hn::MaxLanes(d)];
  hn::Store(v, d, lanes);
  for (size_t i = 0; i < hn::MaxLanes(d); ++i)
    if (i < n) p[i] = lanes[i];
#endif
}

// e^x for x in [-87, 87]; NaN stays NaN. Relative error below 1.5 ulp. Reduction and polynomial of Cephes'
// expf; adding 1.5 * 2^23 + 127 rounds x / ln 2 to an integer and leaves the result's exponent in the low
// bits.
HWY_INLINE Vec<float> exp_in_range(Tag<float> d, Vec<float> x) {
  const hn::RebindToUnsigned<Tag<float>> du;
  const auto shift = hn::Set(d, 12582912.0f + 127.0f);
  const auto z = hn::MulAdd(x, hn::Set(d, 1.44269504088896341f), shift);
  const auto n = hn::Sub(z, shift);
  auto r = hn::NegMulAdd(n, hn::Set(d, 0.693359375f), x);
  r = hn::NegMulAdd(n, hn::Set(d, -2.12194440e-4f), r);
  auto p = hn::MulAdd(hn::Set(d, 1.9875691500e-4f), r, hn::Set(d, 1.3981999507e-3f));
  p = hn::MulAdd(p, r, hn::Set(d, 8.3334519073e-3f));
  p = hn::MulAdd(p, r, hn::Set(d, 4.1665795894e-2f));
  p = hn::MulAdd(p, r, hn::Set(d, 1.6666665459e-1f));
  p = hn::MulAdd(p, r, hn::Set(d, 5.0000001201e-1f));
  p = hn::Add(hn::MulAdd(p, hn::Mul(r, r), r), hn::Set(d, 1.0f));
  return hn::Mul(p, hn::BitCast(d, hn::ShiftLeft<23>(hn::BitCast(du, z))));
}

// x in [-700, 700]; NaN stays NaN. Without vectors Highway makes an integer of x, which is undefined for NaN.
HWY_INLINE Vec<double> exp_in_range(Tag<double> d, Vec<double> x) {
#if HWY_TARGET == HWY_SCALAR
  if (!hn::AllTrue(d, hn::Eq(x, x))) return x;
#endif
  return hn::Exp(d, x);
}

template <typename T>
constexpr T exp_limit = sizeof(T) == 4 ? T(87) : T(700);

// Bounds that keep NaN: Max and Min return their second argument where one is NaN (x86) or the NaN (Arm), but
// not so without vectors.
template <typename T>
HWY_INLINE Vec<T> at_least(Tag<T> d, T low, Vec<T> x) {
#if HWY_TARGET == HWY_SCALAR
  return hn::IfThenElse(hn::Lt(x, hn::Set(d, low)), hn::Set(d, low), x);
#else
  return hn::Max(hn::Set(d, low), x);
#endif
}

template <typename T>
HWY_INLINE Vec<T> at_most(Tag<T> d, T high, Vec<T> x) {
  return hn::Neg(at_least<T>(d, -high, hn::Neg(x)));
}

// e^x for x <= 0, zero below the range, NaN for NaN.
template <typename T>
HWY_INLINE Vec<T> exp_negative(Tag<T> d, Vec<T> x) {
  const auto low = hn::Set(d, -exp_limit<T>);
  const auto e = hn::IfThenElseZero(hn::Ge(x, low), exp_in_range(d, at_least<T>(d, -exp_limit<T>, x)));
  return hn::IfThenElse(hn::Eq(x, x), e, x);
}

// Of x sigmoid(x) and its parts. Below -exp_limit the value stays at the limit's, about -1e-36 (f32): never
// NaN for an infinite x, never denormal.
template <typename T>
HWY_INLINE Vec<T> one_plus_exp_of_minus(Tag<T> d, Vec<T> x) {
  return hn::Add(hn::Set(d, T{1}), exp_in_range(d, at_least<T>(d, -exp_limit<T>, hn::Neg(x))));
}

template <typename T>
HWY_INLINE Vec<T> silu(Tag<T> d, Vec<T> x) {
  x = at_least<T>(d, -exp_limit<T>, x);
  return hn::Div(x, one_plus_exp_of_minus<T>(d, x));
}

// silu'(x) = s (1 + x (1 - s)), s = sigmoid(x)
template <typename T>
HWY_INLINE Vec<T> silu_slope(Tag<T> d, Vec<T> x) {
  const auto one = hn::Set(d, T{1});
  x = at_most<T>(d, exp_limit<T>, at_least<T>(d, -exp_limit<T>, x));
  const auto s = hn::Div(one, one_plus_exp_of_minus<T>(d, x));
  return hn::Mul(s, hn::MulAdd(x, hn::Sub(one, s), one));
}

// y = f(in...) elementwise; y may be one of the inputs.
template <typename T, typename F, typename... In>
HWY_INLINE void map(F f, Matrix<T> y, In... in) {
  const Tag<T> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  if (y.stride == y.cols && ((in.stride == y.cols) && ...)) {  // one long row
    y = {y.data, 1, y.rows * y.cols, 0};
  }
  for (int64_t r = 0; r < y.rows; ++r) {
    int64_t i = 0;
    for (; i + lanes <= y.cols; i += lanes) {
      hn::StoreU(f(d, hn::LoadU(d, in.row(r) + i)...), d, y.row(r) + i);
    }
    if (i < y.cols) {
      const auto n = static_cast<size_t>(y.cols - i);
      store_n<T>(f(d, load_n<T>(d, in.row(r) + i, n)...), d, y.row(r) + i, n);
    }
  }
}

// Sum over i < n of f(in[i]...), two partial sums.
template <typename T, typename F, typename... In>
HWY_INLINE Vec<T> sum_over(F f, int64_t n, const In*... in) {
  const Tag<T> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  auto even = hn::Zero(d), odd = hn::Zero(d);
  int64_t i = 0;
  for (; i + 2 * lanes <= n; i += 2 * lanes) {
    even = hn::Add(even, f(d, hn::LoadU(d, in + i)...));
    odd = hn::Add(odd, f(d, hn::LoadU(d, in + i + lanes)...));
  }
  if (i + lanes <= n) {
    even = hn::Add(even, f(d, hn::LoadU(d, in + i)...));
    i += lanes;
  }
  if (i < n) {
    const auto rest = static_cast<size_t>(n - i);
    odd = hn::Add(odd, hn::IfThenElseZero(hn::FirstN(d, rest), f(d, load_n<T>(d, in + i, rest)...)));
  }
  return hn::SumOfLanes(d, hn::Add(even, odd));
}

}  // namespace HWY_NAMESPACE
}  // namespace lime::cpu
HWY_AFTER_NAMESPACE();

#endif  // toggled guard
