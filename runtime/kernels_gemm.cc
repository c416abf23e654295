// Matrix products of the sizes that layers make: a tile of rows by a hundred-odd columns, heads as column
// slices.
//
// General BLAS copies both operands into its own order first, which costs as much as the product where an
// operand is 32 wide. Here only a panel of B, a few vectors wide, is copied (it fits the first-level cache);
// A is read in place.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "runtime/kernels_gemm.cc"
#include <hwy/foreach_target.h>
// After foreach_target.h, as Highway wants it.
#include "runtime/kernels_simd-inl.h"

#include <algorithm>

HWY_BEFORE_NAMESPACE();
namespace lime::cpu {
namespace HWY_NAMESPACE {

template <typename T>
struct PanelGemm {
  using D = Tag<T>;
  using V = Vec<T>;
  // Accumulators of a tile fill the registers: 6 x 4 of 32, 6 x 2 of 16.
  static constexpr int tile_rows = 6;
  static constexpr int vectors = HWY_TARGET == HWY_NEON || HWY_TARGET <= HWY_AVX3 ? 4 : 2;
  static constexpr int64_t most_lanes = hn::MaxLanes(D());
  static constexpr int64_t panel_cols = vectors * most_lanes;
  static constexpr int64_t panel_rows = 128;  // with 64 floats across: 32 KiB
  static constexpr int64_t block_rows = 768;  // of A: stays in the second-level cache from panel to panel

  struct Operand {  // element (i, k) at data[i * row + k * col]
    const T* data;
    int64_t row, col;
  };

  struct Scale {
    T alpha, beta;
  };

  static V blend(V sum, Scale scale, const T* c, int64_t n) {
    const D d;
    const V product = hn::Mul(hn::Set(d, scale.alpha), sum);
    if (scale.beta == T{0}) return product;
    const V old = n == most_lanes ? hn::LoadU(d, c) : load_n<T>(d, c, static_cast<size_t>(n));
    return hn::MulAdd(hn::Set(d, scale.beta), old, product);
  }

  static HWY_INLINE void update(V sum, Scale scale, T* c, int64_t n) {
    const D d;
    if (n >= most_lanes) {
      hn::StoreU(blend(sum, scale, c, most_lanes), d, c);
    } else if (n > 0) {
      store_n<T>(blend(sum, scale, c, n), d, c, static_cast<size_t>(n));
    }
  }

  // c[0..rows, 0..n] = alpha * a b + beta * c, over `depth`; n at most `wide` vectors.
  template <int rows, int wide>
  static HWY_INLINE void tile(Operand a, const T* b, int64_t b_stride, int64_t depth, Scale scale, T* c,
                              int64_t c_stride, int64_t n) {
    const D d;
    V sum[rows][wide];
#pragma GCC unroll 6
    for (int i = 0; i < rows; ++i)
#pragma GCC unroll 4
      for (int v = 0; v < wide; ++v) sum[i][v] = hn::Zero(d);
    // Few base pointers: with one a row the compiler runs out of registers and reloads them at every step.
    const T* base[(rows + 2) / 3];
    for (int i = 0; i < rows; i += 3) base[i / 3] = a.data + i * a.row;
#pragma GCC unroll 4
    for (int64_t k = 0; k < depth; ++k) {
      V right[wide];
      for (int v = 0; v < wide; ++v) right[v] = hn::LoadU(d, b + v * most_lanes);
#pragma GCC unroll 6
      for (int i = 0; i < rows; ++i) {
        const V x = hn::Set(d, base[i / 3][i % 3 * a.row]);
#pragma GCC unroll 4
        for (int v = 0; v < wide; ++v) sum[i][v] = hn::MulAdd(x, right[v], sum[i][v]);
      }
      for (int i = 0; i < rows; i += 3) base[i / 3] += a.col;
      b += b_stride;
    }
    const bool add = scale.beta == T{1};
    if (n == wide * most_lanes && scale.alpha == T{1} && (add || scale.beta == T{0})) {  // as layers ask
#pragma GCC unroll 6
      for (int i = 0; i < rows; ++i)
#pragma GCC unroll 4
        for (int v = 0; v < wide; ++v) {
          T* to = c + i * c_stride + v * most_lanes;
          hn::StoreU(add ? hn::Add(sum[i][v], hn::LoadU(d, to)) : sum[i][v], d, to);
        }
    } else {
#pragma GCC unroll 6
      for (int i = 0; i < rows; ++i)
#pragma GCC unroll 4
        for (int v = 0; v < wide; ++v)
          update(sum[i][v], scale, c + i * c_stride + v * most_lanes, n - v * most_lanes);
    }
  }

  // All rows of c by one panel of columns.
  template <int wide>
  static void strip(Operand a, int64_t rows, const T* b, int64_t b_stride, int64_t depth, Scale scale, T* c,
                    int64_t c_stride, int64_t n) {
    int64_t i = 0;
    const auto step = [&]<int height>() HWY_ATTR {
      for (; i + height <= rows; i += height) {
        tile<height, wide>({a.data + i * a.row, a.row, a.col}, b, b_stride, depth, scale, c + i * c_stride,
                           c_stride, n);
      }
    };
    step.template operator()<tile_rows>();
    step.template operator()<4>();
    step.template operator()<2>();
    step.template operator()<1>();
  }

  // panel[k, j] = b[k, j] for j < n, zeros behind.
  static void pack(const T* b, int64_t stride, int64_t depth, int64_t n, T* panel) {
    const D d;
    for (int64_t k = 0; k < depth; ++k, b += stride, panel += panel_cols) {
      if (n == panel_cols) {
        for (int v = 0; v < vectors; ++v)
          hn::Store(hn::LoadU(d, b + v * most_lanes), d, panel + v * most_lanes);
      } else {
        std::copy_n(b, n, panel);
        std::fill_n(panel + n, panel_cols - n, T{0});
      }
    }
  }

  // panel[k, j] = b[j, k] for j < n, zeros behind: squares of 128 bits by 128 bits.
  static void pack_transposed(const T* b, int64_t stride, int64_t depth, int64_t n, T* panel) {
#if HWY_TARGET == HWY_SCALAR
    const int64_t square_depth = 0, square_n = 0;
#else
    constexpr int64_t edge = 16 / sizeof(T);
    const int64_t square_depth = depth / edge * edge, square_n = n / edge * edge;
    for (int64_t j = 0; j < square_n; j += edge) {
      for (int64_t k = 0; k < square_depth; k += edge)
        transpose_square(b + j * stride + k, stride, panel + k * panel_cols + j);
    }
#endif
    for (int64_t j = 0; j < panel_cols; ++j) {
      for (int64_t k = j < square_n ? square_depth : 0; k < depth; ++k) {
        panel[k * panel_cols + j] = j < n ? b[j * stride + k] : T{0};
      }
    }
  }

#if HWY_TARGET != HWY_SCALAR
  static HWY_INLINE void transpose_square(const T* from, int64_t stride, T* to) {
    const hn::FixedTag<T, 16 / sizeof(T)> d;
    if constexpr (sizeof(T) == 8) {
      const auto r0 = hn::LoadU(d, from), r1 = hn::LoadU(d, from + stride);
      hn::StoreU(hn::InterleaveLower(d, r0, r1), d, to);
      hn::StoreU(hn::InterleaveUpper(d, r0, r1), d, to + panel_cols);
    } else {
      const auto r0 = hn::LoadU(d, from), r1 = hn::LoadU(d, from + stride),
                 r2 = hn::LoadU(d, from + 2 * stride), r3 = hn::LoadU(d, from + 3 * stride);
      const auto low02 = hn::InterleaveLower(d, r0, r2), low13 = hn::InterleaveLower(d, r1, r3);
      const auto up02 = hn::InterleaveUpper(d, r0, r2), up13 = hn::InterleaveUpper(d, r1, r3);
      hn::StoreU(hn::InterleaveLower(d, low02, low13), d, to);
      hn::StoreU(hn::InterleaveUpper(d, low02, low13), d, to + panel_cols);
      hn::StoreU(hn::InterleaveLower(d, up02, up13), d, to + 2 * panel_cols);
      hn::StoreU(hn::InterleaveUpper(d, up02, up13), d, to + 3 * panel_cols);
    }
  }
#endif

  static void run(bool ta, bool tb, T alpha, Matrix<const T> a, Matrix<const T> b, T beta, Matrix<T> c) {
    HWY_ALIGN T panel[panel_rows * panel_cols];
    const int64_t depth = ta ? a.rows : a.cols;
    for (int64_t i = 0; i < c.rows; i += block_rows) {
      const int64_t rows = std::min(block_rows, c.rows - i);
      for (int64_t k = 0; k < depth; k += panel_rows) {
        const int64_t steps = std::min(panel_rows, depth - k);
        const Operand ak = ta ? Operand{a.row(k) + i, 1, a.stride} : Operand{a.row(i) + k, a.stride, 1};
        const Scale scale = {alpha, k == 0 ? beta : T{1}};
        for (int64_t j = 0; j < c.cols; j += panel_cols) {
          const int64_t n = std::min(panel_cols, c.cols - j);
          const T* bk = tb ? b.row(j) + k : b.row(k) + j;
          // A few tiles of rows do not earn back the copy.
          const bool in_place = !tb && n == panel_cols && rows <= 3 * tile_rows;
          if (tb) {
            pack_transposed(bk, b.stride, steps, n, panel);
          } else if (!in_place) {
            pack(bk, b.stride, steps, n, panel);
          }
          const T* from = in_place ? bk : panel;
          const int64_t stride = in_place ? b.stride : panel_cols;
          T* to = c.row(i) + j;
          if (2 * n <= panel_cols) {
            strip<vectors / 2>(ak, rows, from, stride, steps, scale, to, c.stride, n);
          } else {
            strip<vectors>(ak, rows, from, stride, steps, scale, to, c.stride, n);
          }
        }
      }
    }
  }
};

void gemm_f32(bool ta, bool tb, float alpha, Matrix<const float> a, Matrix<const float> b, float beta,
              Matrix<float> c) {
  PanelGemm<float>::run(ta, tb, alpha, a, b, beta, c);
}
void gemm_f64(bool ta, bool tb, double alpha, Matrix<const double> a, Matrix<const double> b, double beta,
              Matrix<double> c) {
  PanelGemm<double>::run(ta, tb, alpha, a, b, beta, c);
}

}  // namespace HWY_NAMESPACE
}  // namespace lime::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lime::cpu {

HWY_EXPORT(gemm_f32);
HWY_EXPORT(gemm_f64);

template <>
void panel_gemm(bool ta, bool tb, float alpha, Matrix<const float> a, Matrix<const float> b, float beta,
                Matrix<float> c) {
  HWY_DYNAMIC_DISPATCH(gemm_f32)(ta, tb, alpha, a, b, beta, c);
}
template <>
void panel_gemm(bool ta, bool tb, double alpha, Matrix<const double> a, Matrix<const double> b, double beta,
                Matrix<double> c) {
  HWY_DYNAMIC_DISPATCH(gemm_f64)(ta, tb, alpha, a, b, beta, c);
}

}  // namespace lime::cpu
#endif
