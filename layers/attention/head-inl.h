// What attention kernels share: heads as blocks of rows, packed copies of them, scratch. For each Highway
// target.
#if defined(LIME_LAYERS_ATTENTION_HEAD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LIME_LAYERS_ATTENTION_HEAD_INL_H_
#undef LIME_LAYERS_ATTENTION_HEAD_INL_H_
#else
#define LIME_LAYERS_ATTENTION_HEAD_INL_H_
#endif

#include <algorithm>

#include "layers/activation-inl.h"
#include "layers/small_gemm-inl.h"
#include "runtime/context.h"

HWY_BEFORE_NAMESPACE();
namespace lime::cpu::HWY_NAMESPACE {

// History rows worked on at a time: with their scores they stay in the first-level cache.
constexpr int64_t chunk_rows = 64;

// s = factor * SiLU(s) over n contiguous elements, a multiple of the vector length.
template <typename T>
HWY_INLINE void activate(int64_t n, T factor, T* s) {
  const hn::ScalableTag<T> d;
  const auto f = hn::Set(d, factor);
  for (int64_t i = 0; i < n; i += static_cast<int64_t>(hn::Lanes(d))) {
    const auto x = hn::Load(d, s + i);
    hn::Store(hn::Mul(hn::Mul(x, f), sigmoid<T>(d, x)), d, s + i);
  }
}

// s = factor * SiLU(s); g = factor * slope * g * SiLU'(s)
template <typename T>
HWY_INLINE void activate_backward(int64_t n, T factor, T slope, T* s, T* g) {
  const hn::ScalableTag<T> d;
  const auto f = hn::Set(d, factor), fs = hn::Set(d, factor * slope), one = hn::Set(d, T{1});
  for (int64_t i = 0; i < n; i += static_cast<int64_t>(hn::Lanes(d))) {
    const auto x = hn::Load(d, s + i), p = sigmoid<T>(d, x);
    const auto derivative = hn::Mul(p, hn::MulAdd(x, hn::Sub(one, p), one));
    hn::Store(hn::Mul(hn::Mul(x, f), p), d, s + i);
    hn::Store(hn::Mul(hn::Mul(hn::Load(d, g + i), fs), derivative), d, g + i);
  }
}

// --- softmax: scores laid out [key, query], queries in lanes

// Takes n rows of scores s into the running maximum and sum; s becomes exp(s - maximum), factor what earlier
// sums are to be multiplied with. All rows are whole vectors.
template <typename T>
HWY_INLINE void advance(int64_t n, Rows<T> s, T* maximum, T* sum, T* factor) {
  const hn::ScalableTag<T> d;
  for (int64_t i = 0; i < s.stride; i += static_cast<int64_t>(hn::Lanes(d))) {
    const auto before = hn::Load(d, maximum + i);
    auto top = before;
    for (int64_t r = 0; r < n; ++r) top = hn::Max(top, hn::Load(d, s.row(r) + i));
    const auto f = exp_negative<T>(d, hn::Sub(before, top));
    auto total = hn::Mul(f, hn::Load(d, sum + i));
    for (int64_t r = 0; r < n; ++r) {
      const auto p = exp_negative<T>(d, hn::Sub(hn::Load(d, s.row(r) + i), top));
      total = hn::Add(total, p);
      hn::Store(p, d, s.row(r) + i);
    }
    hn::Store(top, d, maximum + i);
    hn::Store(total, d, sum + i);
    hn::Store(f, d, factor + i);
  }
}

// s = p = exp(s - lse), g = slope * p * (g - delta)
template <typename T>
HWY_INLINE void probabilities_backward(int64_t n, T slope, const T* lse, const T* delta, Rows<T> s,
                                       Rows<T> g) {
  const hn::ScalableTag<T> d;
  const auto f = hn::Set(d, slope);
  for (int64_t i = 0; i < s.stride; i += static_cast<int64_t>(hn::Lanes(d))) {
    const auto shift = hn::Load(d, lse + i), mean = hn::Load(d, delta + i);
    for (int64_t r = 0; r < n; ++r) {
      const auto p = exp_negative<T>(d, hn::Sub(hn::Load(d, s.row(r) + i), shift));
      hn::Store(p, d, s.row(r) + i);
      hn::Store(hn::Mul(hn::Mul(p, f), hn::Sub(hn::Load(d, g.row(r) + i), mean)), d, g.row(r) + i);
    }
  }
}

// --- rows of heads

template <typename T>
void zero(const View& x) {
  for (int64_t r = 0; r < x.rows(); ++r) std::fill_n(x.row<T>(r), x.cols(), T{0});
}

template <typename T>
HWY_INLINE void copy_rows(int64_t rows, int64_t cols, Rows<const T> x, Rows<T> y) {
  const hn::ScalableTag<T> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  for (int64_t r = 0; r < rows; ++r) {
    int64_t c = 0;
    for (; c + lanes <= cols; c += lanes) hn::StoreU(hn::LoadU(d, x.row(r) + c), d, y.row(r) + c);
    for (; c < cols; ++c) y.row(r)[c] = x.row(r)[c];
  }
}

// out = factor * transpose of x (rows x cols), in squares of 128 by 128 bits.
template <typename T>
HWY_INLINE void scaled_transpose(int64_t rows, int64_t cols, T factor, Rows<const T> x, Rows<T> out) {
  int64_t square_rows = 0, square_cols = 0;
#if HWY_TARGET != HWY_SCALAR
  constexpr int64_t edge = 16 / sizeof(T);
  const hn::FixedTag<T, edge> d;
  const auto f = hn::Set(d, factor);
  square_rows = rows / edge * edge, square_cols = cols / edge * edge;
  for (int64_t r = 0; r < square_rows; r += edge) {
    for (int64_t c = 0; c < square_cols; c += edge) {
      const auto in = [&](int64_t i) HWY_ATTR { return hn::Mul(f, hn::LoadU(d, x.row(r + i) + c)); };
      if constexpr (edge == 2) {
        const auto a = in(0), b = in(1);
        hn::StoreU(hn::InterleaveLower(d, a, b), d, out.row(c) + r);
        hn::StoreU(hn::InterleaveUpper(d, a, b), d, out.row(c + 1) + r);
      } else {
        const auto even = in(0), odd = in(1), even2 = in(2), odd2 = in(3);
        const auto low = hn::InterleaveLower(d, even, even2), low_odd = hn::InterleaveLower(d, odd, odd2);
        const auto up = hn::InterleaveUpper(d, even, even2), up_odd = hn::InterleaveUpper(d, odd, odd2);
        hn::StoreU(hn::InterleaveLower(d, low, low_odd), d, out.row(c) + r);
        hn::StoreU(hn::InterleaveUpper(d, low, low_odd), d, out.row(c + 1) + r);
        hn::StoreU(hn::InterleaveLower(d, up, up_odd), d, out.row(c + 2) + r);
        hn::StoreU(hn::InterleaveUpper(d, up, up_odd), d, out.row(c + 3) + r);
      }
    }
  }
#endif
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = r < square_rows ? square_cols : 0; c < cols; ++c) out.row(c)[r] = factor * x.row(r)[c];
}

// Scratch from the arena, in rows that are whole vectors apart.
template <typename T>
struct Scratch {
  Context& ctx;
  int64_t stride_of(int64_t cols) const {
    const auto lanes = static_cast<int64_t>(hn::Lanes(hn::ScalableTag<T>()));
    return (cols + lanes - 1) / lanes * lanes;
  }
  Rows<T> rows(int64_t count, int64_t cols) const {
    const View v = ctx.arena().alloc(dtype_of<T>(), 1, count * stride_of(cols));
    std::fill_n(v.template data<T>(), v.cols(), T{0});  // the padding is computed with, though never used
    return {v.template data<T>(), stride_of(cols)};
  }
};

template <typename T>
HWY_INLINE Elements<std::remove_const_t<T>> plain(Rows<T> x) {
  return {x.p, x.stride, 1};
}
template <typename T>
HWY_INLINE Elements<std::remove_const_t<T>> transposed(Rows<T> x) {
  return {x.p, 1, x.stride};
}
template <typename T>
HWY_INLINE Rows<const T> in(Rows<T> x) {
  return {x.p, x.stride};
}

// Rows [begin, end) and one head's columns of a view.
template <typename T>
Rows<const T> head_of(const ConstView& v, int64_t begin, int64_t column) {
  return {v.data<T>() + begin * v.stride() + column, v.stride()};
}
template <typename T>
Rows<T> head_of(const View& v, int64_t begin, int64_t column) {
  return {v.data<T>() + begin * v.stride() + column, v.stride()};
}

}  // namespace lime::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard toggled for each target
