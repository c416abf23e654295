// Products of small matrices that are in the first-level cache already: no packing, no call overhead. For
// attention heads, whose products are too small for a BLAS. Included once for each Highway target.
#if defined(LIME_LAYERS_SMALL_GEMM_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LIME_LAYERS_SMALL_GEMM_INL_H_
#undef LIME_LAYERS_SMALL_GEMM_INL_H_
#else
#define LIME_LAYERS_SMALL_GEMM_INL_H_
#endif

#include <hwy/highway.h>

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "runtime/kernels_simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lime::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// A matrix read element by element: a(m, k) = p[m * row + k * col], so a transpose is a swap of strides.
template <typename T>
struct Elements {
  const T* p;
  int64_t row, col;
};
// A matrix of contiguous rows.
template <typename T>
struct Rows {
  T* p;
  int64_t stride;
  HWY_INLINE T* row(int64_t r) const { return p + r * stride; }
};

// MR x (NV vectors) of C stay in registers while k runs. The last vector is partial if kMasked.
template <size_t MR, size_t NV, bool kMasked, class D, typename T>
HWY_INLINE void small_gemm_tile(D d, int64_t depth, Elements<T> a, Rows<const T> b, bool accumulate,
                                Rows<T> c, size_t lanes_left) {
  using V = hn::Vec<D>;
  const size_t lanes = hn::Lanes(d);
  const auto mask = hn::FirstN(d, lanes_left);
  V acc[MR][NV];
#pragma GCC unroll 16
  for (size_t m = 0; m < MR; ++m)
#pragma GCC unroll 4
    for (size_t v = 0; v < NV; ++v) {
      T* p = c.row(static_cast<int64_t>(m)) + v * lanes;
      if (!accumulate)
        acc[m][v] = hn::Zero(d);
      else
        acc[m][v] = kMasked ? hn::MaskedLoad(mask, d, p) : hn::LoadU(d, p);
    }
  const T* bk = b.p;
  const T* ak = a.p;
  for (int64_t k = 0; k < depth; ++k, bk += b.stride, ak += a.col) {
    V bv[NV];
#pragma GCC unroll 4
    for (size_t v = 0; v < NV; ++v)
      bv[v] = kMasked ? hn::MaskedLoad(mask, d, bk + v * lanes) : hn::LoadU(d, bk + v * lanes);
#pragma GCC unroll 16
    for (size_t m = 0; m < MR; ++m) {
      const V x = hn::Set(d, ak[static_cast<int64_t>(m) * a.row]);
#pragma GCC unroll 4
      for (size_t v = 0; v < NV; ++v) acc[m][v] = hn::MulAdd(x, bv[v], acc[m][v]);
    }
  }
#pragma GCC unroll 16
  for (size_t m = 0; m < MR; ++m)
#pragma GCC unroll 4
    for (size_t v = 0; v < NV; ++v) {
      T* p = c.row(static_cast<int64_t>(m)) + v * lanes;
      if (kMasked)
        store_n<T>(acc[m][v], d, p, lanes_left);
      else
        hn::StoreU(acc[m][v], d, p);
    }
}

template <size_t NV, bool kMasked, class D, typename T>
HWY_INLINE void small_gemm_columns(D d, int64_t rows, int64_t depth, Elements<T> a, Rows<const T> b,
                                   bool accumulate, Rows<T> c, size_t lanes_left) {
#if HWY_TARGET <= HWY_AVX3
  constexpr size_t kRows = 8;  // 16 accumulators of 32 registers
#else
  constexpr size_t kRows = 4;
#endif
  int64_t m = 0;
  const auto block = [&](auto size) HWY_ATTR {
    constexpr size_t MR = decltype(size)::value;
    small_gemm_tile<MR, NV, kMasked>(d, depth, Elements<T>{a.p + m * a.row, a.row, a.col}, b, accumulate,
                                     Rows<T>{c.row(m), c.stride}, lanes_left);
    m += static_cast<int64_t>(MR);
  };
  while (m + static_cast<int64_t>(kRows) <= rows) block(std::integral_constant<size_t, kRows>());
  while (m + 2 <= rows) block(std::integral_constant<size_t, 2>());
  while (m < rows) block(std::integral_constant<size_t, 1>());
}

// c (rows x cols) = or += a (rows x depth) b (depth x cols)
template <class D, typename T = hn::TFromD<D>>
HWY_NOINLINE void small_gemm(D d, int64_t rows, int64_t cols, int64_t depth, Elements<T> a, Rows<const T> b,
                             bool accumulate, Rows<T> c) {
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t n = 0;
  for (; n + 2 * lanes <= cols; n += 2 * lanes)
    small_gemm_columns<2, false>(d, rows, depth, a, Rows<const T>{b.p + n, b.stride}, accumulate,
                                 Rows<T>{c.p + n, c.stride}, 0);
  for (; n + lanes <= cols; n += lanes)
    small_gemm_columns<1, false>(d, rows, depth, a, Rows<const T>{b.p + n, b.stride}, accumulate,
                                 Rows<T>{c.p + n, c.stride}, 0);
  if (n < cols)
    small_gemm_columns<1, true>(d, rows, depth, a, Rows<const T>{b.p + n, b.stride}, accumulate,
                                Rows<T>{c.p + n, c.stride}, static_cast<size_t>(cols - n));
}

}  // namespace lime::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard toggled for each target
