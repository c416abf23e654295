// Compiled once for every instruction set; kernels<T>() picks a table at run time.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "runtime/kernels_cpu.cc"
#include <hwy/foreach_target.h>
#include <hwy/cache_control.h>

// After foreach_target.h, as Highway wants it.
#include "runtime/kernels_simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lime::cpu {
namespace HWY_NAMESPACE {

template <typename T>
struct Vectorized {
  using In = Matrix<const T>;
  using Out = Matrix<T>;
  using D = Tag<T>;
  using V = Vec<T>;

  static In as_in(const Out& m) { return {m.data, m.rows, m.cols, m.stride}; }
  static int64_t lanes() { return static_cast<int64_t>(hn::Lanes(D())); }

  // --- elementwise ---

  static void fill(Out x, T value) {
    map([value](D d) HWY_ATTR { return hn::Set(d, value); }, x);
  }
  static void add(In x, Out y) {
    map([](D, V a, V b) HWY_ATTR { return hn::Add(b, a); }, y, x, as_in(y));
  }
  static void axpy(T alpha, In x, Out y) {
    map([alpha](D d, V a, V b) HWY_ATTR { return hn::MulAdd(hn::Set(d, alpha), a, b); }, y, x, as_in(y));
  }
  static void scale(T alpha, Out x) {
    map([alpha](D d, V a) HWY_ATTR { return hn::Mul(hn::Set(d, alpha), a); }, x, as_in(x));
  }
  static void multiply(In a, In b, Out y) {
    map([](D, V u, V v) HWY_ATTR { return hn::Mul(u, v); }, y, a, b);
  }
  static void multiply_add(In a, In b, Out y) {
    map([](D, V u, V v, V w) HWY_ATTR { return hn::MulAdd(u, v, w); }, y, a, b, as_in(y));
  }
  static void silu(In x, Out y) {
    map([](D d, V v) HWY_ATTR { return HWY_NAMESPACE::silu<T>(d, v); }, y, x);
  }
  static void silu_backward(In x, In dy, Out dx) {
    map([](D d, V v, V g) HWY_ATTR { return hn::Mul(g, silu_slope<T>(d, v)); }, dx, x, dy);
  }

  // --- rows and columns ---

  // A row that comes from memory: the processor's own prefetchers stop at every 4 KiB.
  static HWY_INLINE void prefetch_row(In x, int64_t r) {
    constexpr int64_t line = 64 / sizeof(T);
    for (int64_t c = 0; c < x.cols; c += line) hwy::Prefetch(x.row(r) + c);
  }

  // A row read again for every row: stride 0.
  static In repeated(const T* row, const Out& like) { return {row, like.rows, like.cols, 0}; }

  static void add_bias(const T* bias, Out y) {
    map([](D, V b, V v) HWY_ATTR { return hn::Add(v, b); }, y, repeated(bias, y), as_in(y));
  }

  static void bias_silu(const T* bias, Out z, Out y) {
    const D d;
    for (int64_t r = 0; r < z.rows; ++r) {
      T *zr = z.row(r), *yr = y.row(r);
      int64_t i = 0;
      for (; i + lanes() <= z.cols; i += lanes()) {
        const V v = hn::Add(hn::LoadU(d, zr + i), hn::LoadU(d, bias + i));
        hn::StoreU(v, d, zr + i);
        hn::StoreU(HWY_NAMESPACE::silu<T>(d, v), d, yr + i);
      }
      if (i < z.cols) {
        const auto n = static_cast<size_t>(z.cols - i);
        const V v = hn::Add(load_n<T>(d, zr + i, n), load_n<T>(d, bias + i, n));
        store_n<T>(v, d, zr + i, n);
        store_n<T>(HWY_NAMESPACE::silu<T>(d, v), d, yr + i, n);
      }
    }
  }

  // Four vectors of columns at a time stay in registers while the rows go by.
  static void column_sum(In x, bool accumulate, T* sum) {
    const D d;
    int64_t i = 0;
    for (; i + 4 * lanes() <= x.cols; i += 4 * lanes()) {
      V s0 = hn::Zero(d), s1 = s0, s2 = s0, s3 = s0;
      for (int64_t r = 0; r < x.rows; ++r) {
        const T* p = x.row(r) + i;
        s0 = hn::Add(s0, hn::LoadU(d, p));
        s1 = hn::Add(s1, hn::LoadU(d, p + lanes()));
        s2 = hn::Add(s2, hn::LoadU(d, p + 2 * lanes()));
        s3 = hn::Add(s3, hn::LoadU(d, p + 3 * lanes()));
      }
      add_or_set(s0, accumulate, sum + i, lanes());
      add_or_set(s1, accumulate, sum + i + lanes(), lanes());
      add_or_set(s2, accumulate, sum + i + 2 * lanes(), lanes());
      add_or_set(s3, accumulate, sum + i + 3 * lanes(), lanes());
    }
    for (; i < x.cols; i += lanes()) {
      const int64_t n = std::min(lanes(), x.cols - i);
      V s = hn::Zero(d);
      for (int64_t r = 0; r < x.rows; ++r) s = hn::Add(s, load_n<T>(d, x.row(r) + i, static_cast<size_t>(n)));
      add_or_set(s, accumulate, sum + i, n);
    }
  }

  static void softmax_rows(Out x) {
    const D d;
    for (int64_t r = 0; r < x.rows; ++r) {
      const Out row = {x.row(r), 1, x.cols, x.cols};
      const V top = hn::Set(d, largest(row.data, x.cols));
      map([top](D dd, V v) HWY_ATTR { return exp_negative<T>(dd, hn::Sub(v, top)); }, row, as_in(row));
      const V sum = sum_over<T>([](D, V v) HWY_ATTR { return v; }, x.cols, row.data);
      const V inverse = hn::Div(hn::Set(d, T{1}), sum);
      map([inverse](D, V v) HWY_ATTR { return hn::Mul(v, inverse); }, row, as_in(row));
    }
  }

  static void softmax_rows_backward(In y, In dy, Out dx) {
    for (int64_t r = 0; r < y.rows; ++r) {
      const In yr = {y.row(r), 1, y.cols, y.cols}, gr = {dy.row(r), 1, y.cols, y.cols};
      const V dot = sum_over<T>([](D, V v, V g) HWY_ATTR { return hn::Mul(v, g); }, y.cols, yr.data, gr.data);
      map([dot](D, V v, V g) HWY_ATTR { return hn::Mul(v, hn::Sub(g, dot)); },
          Out{dx.row(r), 1, y.cols, y.cols}, yr, gr);
    }
  }

  static void layer_norm(In x, const T* gain, const T* bias, T eps, Out y, Out mean, Out rstd) {
    const D d;
    const V share = hn::Set(d, T{1} / static_cast<T>(x.cols)), one = hn::Set(d, T{1});
    for (int64_t r = 0; r < x.rows; ++r) {
      const T* xr = x.row(r);
      prefetch_row(x, r + 8);
      const V m = hn::Mul(share, sum_over<T>([](D, V v) HWY_ATTR { return v; }, x.cols, xr));
      const auto square = [m](D, V v) HWY_ATTR {
        const V c = hn::Sub(v, m);
        return hn::Mul(c, c);
      };
      const V variance = hn::Mul(share, sum_over<T>(square, x.cols, xr));
      const V s = hn::Div(one, hn::Sqrt(hn::Add(variance, hn::Set(d, eps))));
      const auto affine = [m, s](D, V v, V g, V b)
                              HWY_ATTR { return hn::MulAdd(hn::Mul(hn::Sub(v, m), s), g, b); };
      map(affine, row_of(y, r), row_of(x, r), In{gain, 1, x.cols, x.cols}, In{bias, 1, x.cols, x.cols});
      *mean.row(r) = hn::GetLane(m);
      *rstd.row(r) = hn::GetLane(s);
    }
  }

  // With h = (x - mean) rstd and e = dy gain: dx = rstd (e - mean(e) - h mean(e h)), dgain += dy h, dbias +=
  // dy.
  static void layer_norm_backward(In x, const T* gain, In mean, In rstd, In dy, bool accumulate_dx, Out dx,
                                  bool accumulate_params, T* dgain, T* dbias) {
    const Out dgains = {dgain, 1, x.cols, x.cols}, dbiases = {dbias, 1, x.cols, x.cols};
    if (!accumulate_params) {
      fill(dgains, T{0});
      fill(dbiases, T{0});
    }
    const D d;
    const In gains = {gain, 1, x.cols, x.cols};
    const V share = hn::Set(d, T{1} / static_cast<T>(x.cols));
    for (int64_t r = 0; r < x.rows; ++r) {
      const V m = hn::Set(d, *mean.row(r)), s = hn::Set(d, *rstd.row(r));
      const In xr = row_of(x, r), gr = row_of(dy, r);
      const auto normal = [m, s](V v) HWY_ATTR { return hn::Mul(hn::Sub(v, m), s); };
      const V e = hn::Mul(
          share, sum_over<T>([](D, V g, V w) HWY_ATTR { return hn::Mul(g, w); }, x.cols, gr.data, gain));
      const V eh = hn::Mul(share, sum_over<T>([normal](D, V v, V g, V w)
                                                  HWY_ATTR { return hn::Mul(hn::Mul(g, w), normal(v)); },
                                              x.cols, xr.data, gr.data, gain));
      map([normal](D, V v, V g, V sum) HWY_ATTR { return hn::MulAdd(g, normal(v), sum); }, dgains, xr, gr,
          as_in(dgains));
      map([](D, V g, V sum) HWY_ATTR { return hn::Add(sum, g); }, dbiases, gr, as_in(dbiases));
      const auto slope = [normal, s, e, eh](V v, V g, V w) HWY_ATTR {
        return hn::Mul(s, hn::Sub(hn::MulSub(g, w, e), hn::Mul(normal(v), eh)));
      };
      const Out dr = row_of(dx, r);
      if (accumulate_dx) {
        map([slope](D, V v, V g, V w, V old) HWY_ATTR { return hn::Add(old, slope(v, g, w)); }, dr, xr, gr,
            gains, as_in(dr));
      } else {
        map([slope](D, V v, V g, V w) HWY_ATTR { return slope(v, g, w); }, dr, xr, gr, gains);
      }
    }
  }

  // --- reductions ---

  static double sum_of_squares(In x) {
    double sum = 0;
    for (int64_t r = 0; r < x.rows; ++r) sum += row_sum_of_squares(x.row(r), x.cols);
    return sum;
  }

  static constexpr Kernels<T> table() {
    return {fill,
            add,
            axpy,
            scale,
            multiply,
            multiply_add,
            silu,
            silu_backward,
            add_bias,
            bias_silu,
            column_sum,
            softmax_rows,
            softmax_rows_backward,
            layer_norm,
            layer_norm_backward,
            sum_of_squares};
  }

 private:
  static In row_of(const In& m, int64_t r) { return {m.row(r), 1, m.cols, m.cols}; }
  static Out row_of(const Out& m, int64_t r) { return {m.row(r), 1, m.cols, m.cols}; }

  static void add_or_set(V v, bool accumulate, T* p, int64_t n) {
    const D d;
    const auto count = static_cast<size_t>(n);
    store_n<T>(accumulate ? hn::Add(load_n<T>(d, p, count), v) : v, d, p, count);
  }

  static T largest(const T* p, int64_t n) {
    const D d;
    V top = hn::Set(d, p[0]);
    int64_t i = 0;
    for (; i + lanes() <= n; i += lanes()) top = hn::Max(top, hn::LoadU(d, p + i));
    T value = hn::GetLane(hn::MaxOfLanes(d, top));
    for (; i < n; ++i) value = std::max(value, p[i]);
    return value;
  }

  static double row_sum_of_squares(const T* p, int64_t n) {
    const Tag<double> dd;
    if constexpr (sizeof(T) == 8) {
      return hn::GetLane(sum_over<double>([](Tag<double>, V v) HWY_ATTR { return hn::Mul(v, v); }, n, p));
    } else {
      const hn::Rebind<float, Tag<double>> df;
      const auto width = static_cast<int64_t>(hn::Lanes(dd));
      auto even = hn::Zero(dd), odd = hn::Zero(dd);
      int64_t i = 0;
      for (; i + 2 * width <= n; i += 2 * width) {
        const auto a = hn::PromoteTo(dd, hn::LoadU(df, p + i)),
                   b = hn::PromoteTo(dd, hn::LoadU(df, p + i + width));
        even = hn::MulAdd(a, a, even);
        odd = hn::MulAdd(b, b, odd);
      }
      double sum = hn::GetLane(hn::SumOfLanes(dd, hn::Add(even, odd)));
      for (; i < n; ++i) sum += double{p[i]} * double{p[i]};
      return sum;
    }
  }
};

const Kernels<float>* table_f32() {
  static constexpr Kernels<float> table = Vectorized<float>::table();
  return &table;
}
const Kernels<double>* table_f64() {
  static constexpr Kernels<double> table = Vectorized<double>::table();
  return &table;
}

}  // namespace HWY_NAMESPACE
}  // namespace lime::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lime::cpu {

HWY_EXPORT(table_f32);
HWY_EXPORT(table_f64);

template <>
const Kernels<float>& kernels<float>() {
  return *HWY_DYNAMIC_DISPATCH(table_f32)();
}
template <>
const Kernels<double>& kernels<double>() {
  return *HWY_DYNAMIC_DISPATCH(table_f64)();
}

}  // namespace lime::cpu
#endif
