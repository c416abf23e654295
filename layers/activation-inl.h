// Sigmoid for vector kernels. Included once for each Highway target.
#if defined(LIME_LAYERS_ACTIVATION_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LIME_LAYERS_ACTIVATION_INL_H_
#undef LIME_LAYERS_ACTIVATION_INL_H_
#else
#define LIME_LAYERS_ACTIVATION_INL_H_
#endif

#include "runtime/kernels_simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lime::cpu::HWY_NAMESPACE {

// 1 / y for y >= 1. Where an estimate of 14 bits exists, one Newton step makes it exact to about an ulp, in
// half the time of a division.
template <typename T>
HWY_INLINE Vec<T> reciprocal(Tag<T> d, Vec<T> y) {
  const auto one = hn::Set(d, T{1});
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3
  if constexpr (sizeof(T) == 4) {
    const auto r = hn::ApproximateReciprocal(y);
    return hn::MulAdd(r, hn::NegMulAdd(y, r, one), r);
  }
#endif
  return hn::Div(one, y);
}

// 1 / (1 + exp(-x)), finite and positive for every finite x
template <typename T>
HWY_INLINE Vec<T> sigmoid(Tag<T> d, Vec<T> x) {
  const auto limit = hn::Set(d, exp_limit<T>);
  const auto e = exp_in_range(d, hn::Min(hn::Max(hn::Neg(x), hn::Neg(limit)), limit));
  return reciprocal<T>(d, hn::Add(hn::Set(d, T{1}), e));
}

}  // namespace lime::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard toggled for each target
