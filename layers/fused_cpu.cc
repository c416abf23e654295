// Fused row operations on the CPU: one pass over each row, or two while it is in the first-level cache.
#include <cmath>

#include "layers/cpu_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "layers/fused_cpu.cc"
#include <hwy/foreach_target.h>

#include <hwy/cache_control.h>

#include "layers/activation-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lime::cpu::HWY_NAMESPACE {
namespace {

// How a vector is read and written: whole, or the first n lanes at the end of a row.
template <typename T>
struct Whole {
  Vec<T> load(const T* p) const { return hn::LoadU(Tag<T>(), p); }
  void store(Vec<T> v, T* p) const { hn::StoreU(v, Tag<T>(), p); }
  Vec<T> only(Vec<T> v) const { return v; }
};
template <typename T>
struct First {
  size_t n;
  HWY_ATTR Vec<T> load(const T* p) const { return load_n<T>(Tag<T>(), p, n); }
  HWY_ATTR void store(Vec<T> v, T* p) const { store_n<T>(v, Tag<T>(), p, n); }
  HWY_ATTR Vec<T> only(Vec<T> v) const { return hn::IfThenElseZero(hn::FirstN(Tag<T>(), n), v); }
};

// Calls f(column, access) for each vector of a row.
template <typename T, typename F>
HWY_INLINE void each_vector(int64_t cols, F&& f) {
  const auto lanes = static_cast<int64_t>(hn::Lanes(Tag<T>()));
  int64_t c = 0;
  for (; c + lanes <= cols; c += lanes) f(c, Whole<T>());
  if (c < cols) f(c, First<T>{static_cast<size_t>(cols - c)});
}

// Writes past the caches where the rows allow it.
template <typename T>
struct KeptRows {
  explicit KeptRows(const View& kept) : v(kept) {
    const size_t bytes = hn::Lanes(Tag<T>()) * sizeof(T);
    aligned = reinterpret_cast<uintptr_t>(v.raw()) % bytes == 0 &&
              static_cast<size_t>(v.stride()) * sizeof(T) % bytes == 0 &&
              static_cast<size_t>(v.cols()) * sizeof(T) % bytes == 0;
  }
  ~KeptRows() { hwy::FlushStream(); }
  template <typename Access>
  HWY_INLINE void store(Vec<T> x, T* p, const Access& access) const {
    if (aligned)
      hn::Stream(x, Tag<T>(), p);
    else
      access.store(x, p);
  }
  const View& v;
  bool aligned;
};

// What was kept comes from memory, and the processor's own prefetchers stop at every 4 KiB: asks for what a
// row's readers want soon.
template <typename T>
HWY_INLINE void prefetch_kept(const T* p) {
  constexpr int64_t ahead = 8192 / sizeof(T);
  hwy::Prefetch(p + ahead);
}

template <typename T>
struct Fused {
  using D = Tag<T>;
  using V = Vec<T>;

  static void bias_silu_keep(const ConstView& bias, const ConstView& z, const View& kept, const View& a) {
    const KeptRows<T> rows(kept);
    const T* b = bias.data<T>();
    for (int64_t r = 0; r < z.rows(); ++r) {
      const T* in = z.row<T>(r);
      T *out = a.row<T>(r), *keep = kept.row<T>(r);
      each_vector<T>(z.cols(), [&](int64_t c, const auto& at) HWY_ATTR {
        const V product = at.load(in + c), x = hn::Add(product, at.load(b + c));
        if (keep != in) rows.store(product, keep + c, at);
        at.store(hn::Mul(x, sigmoid<T>(D(), x)), out + c);
      });
    }
  }

  static void silu_with_slope(const ConstView& bias, const ConstView& z, const View& a, const View& slope) {
    const V one = hn::Set(D(), T{1});
    const T* b = bias.data<T>();
    for (int64_t r = 0; r < z.rows(); ++r) {
      const T* in = z.row<T>(r);
      T *out = a.row<T>(r), *s = slope.row<T>(r);
      each_vector<T>(z.cols(), [&](int64_t c, const auto& at) HWY_ATTR {
        prefetch_kept(in + c);
        const V x = hn::Add(at.load(in + c), at.load(b + c)), p = sigmoid<T>(D(), x), y = hn::Mul(x, p);
        at.store(y, out + c);
        at.store(hn::MulAdd(y, hn::Sub(one, p), p), s + c);
      });
    }
  }

  static void multiply_slope(const ConstView& slope, const View& dz, const View& dbias) {
    T* sum = dbias.data<T>();
    for (int64_t r = 0; r < dz.rows(); ++r) {
      const T* s = slope.row<T>(r);
      T* g = dz.row<T>(r);
      each_vector<T>(dz.cols(), [&](int64_t c, const auto& at) HWY_ATTR {
        const V x = hn::Mul(at.load(s + c), at.load(g + c));
        at.store(x, g + c);
        at.store(hn::Add(at.load(sum + c), x), sum + c);
      });
    }
  }

  static void normalise(const ConstView& gain, const ConstView& bias, const ConstView& mean,
                        const ConstView& rstd, const ConstView& x, const View& y) {
    const T *gains = gain.data<T>(), *biases = bias.data<T>();
    for (int64_t r = 0; r < x.rows(); ++r) {
      const T* in = x.row<T>(r);
      T* out = y.row<T>(r);
      const V m = hn::Set(D(), *mean.row<T>(r)), s = hn::Set(D(), *rstd.row<T>(r));
      each_vector<T>(x.cols(), [&](int64_t c, const auto& at) HWY_ATTR {
        prefetch_kept(in + c);
        const V e = hn::Mul(hn::Sub(at.load(in + c), m), s);
        at.store(hn::MulAdd(e, at.load(gains + c), at.load(biases + c)), out + c);
      });
    }
  }

  static void gated_norm(const GatedNorm& norm, const ConstView& x, const ConstView& u, const View& y) {
    const int64_t cols = x.cols();
    const T count = static_cast<T>(cols), eps = static_cast<T>(norm.eps);
    const T *gain = norm.gain.data<T>(), *bias = norm.bias.data<T>();
    for (int64_t r = 0; r < x.rows(); ++r) {
      const T *in = x.row<T>(r), *gate = u.row<T>(r);
      T* out = y.row<T>(r);
      V sum = hn::Zero(D());
      each_vector<T>(cols, [&](int64_t c, const auto& at) HWY_ATTR { sum = hn::Add(sum, at.load(in + c)); });
      const T m = hn::GetLane(hn::SumOfLanes(D(), sum)) / count;
      const V mean = hn::Set(D(), m);
      V squares = hn::Zero(D());
      each_vector<T>(cols, [&](int64_t c, const auto& at) HWY_ATTR {
        const V e = at.only(hn::Sub(at.load(in + c), mean));
        squares = hn::MulAdd(e, e, squares);
      });
      const T s = T{1} / std::sqrt(hn::GetLane(hn::SumOfLanes(D(), squares)) / count + eps);
      const V rstd = hn::Set(D(), s);
      each_vector<T>(cols, [&](int64_t c, const auto& at) HWY_ATTR {
        const V e = hn::Mul(hn::Sub(at.load(in + c), mean), rstd);
        at.store(hn::Mul(hn::MulAdd(e, at.load(gain + c), at.load(bias + c)), at.load(gate + c)), out + c);
      });
      *norm.mean.row<T>(r) = m;
      *norm.rstd.row<T>(r) = s;
    }
  }

  static void gated_norm_backward(const GatedNorm& norm, const ConstView& x, const ConstView& u,
                                  const ConstView& dy, const View& y, const View& du, const View& dx,
                                  const View& dgain, const View& dbias) {
    const int64_t cols = x.cols();
    const T count = static_cast<T>(cols);
    const T *gain = norm.gain.data<T>(), *bias = norm.bias.data<T>();
    T *sum_gain = dgain.data<T>(), *sum_bias = dbias.data<T>();
    for (int64_t r = 0; r < x.rows(); ++r) {
      const T *in = x.row<T>(r), *gate = u.row<T>(r), *g = dy.row<T>(r);
      T *out = y.cols() > 0 ? y.row<T>(r) : nullptr, *dgate = du.row<T>(r), *din = dx.row<T>(r);
      const V mean = hn::Set(D(), *norm.mean.row<T>(r)), rstd = hn::Set(D(), *norm.rstd.row<T>(r));
      V sum = hn::Zero(D()), sum_e = hn::Zero(D());
      each_vector<T>(cols, [&](int64_t c, const auto& at) HWY_ATTR {
        prefetch_kept(in + c);
        const V e = hn::Mul(hn::Sub(at.load(in + c), mean), rstd), w = at.load(gain + c),
                gate_c = at.load(gate + c);
        const V normed = hn::MulAdd(e, w, at.load(bias + c)), gc = at.load(g + c), dn = hn::Mul(gc, gate_c);
        if (out) at.store(hn::Mul(normed, gate_c), out + c);
        at.store(hn::Mul(gc, normed), dgate + c);
        at.store(hn::MulAdd(dn, e, at.load(sum_gain + c)), sum_gain + c);
        at.store(hn::Add(at.load(sum_bias + c), dn), sum_bias + c);
        const V de = hn::Mul(dn, w);  // zero beyond the row: gain is
        sum = hn::Add(sum, de);
        sum_e = hn::MulAdd(de, e, sum_e);
        at.store(de, din + c);
      });
      const V shift = hn::Set(D(), hn::GetLane(hn::SumOfLanes(D(), sum)) / count);
      const V tilt = hn::Set(D(), hn::GetLane(hn::SumOfLanes(D(), sum_e)) / count);
      each_vector<T>(cols, [&](int64_t c, const auto& at) HWY_ATTR {
        const V e = hn::Mul(hn::Sub(at.load(in + c), mean), rstd);
        at.store(hn::Mul(rstd, hn::Sub(hn::Sub(at.load(din + c), shift), hn::Mul(e, tilt))), din + c);
      });
    }
  }

  static void add_residual(const ConstView& x, const ConstView& y, const ConstView& bias, const View& kept) {
    const KeptRows<T> rows(kept);
    const T* b = bias.data<T>();
    for (int64_t r = 0; r < x.rows(); ++r) {
      const T *xr = x.row<T>(r), *yr = y.row<T>(r);
      T* out = kept.row<T>(r);
      each_vector<T>(x.cols(), [&](int64_t c, const auto& at) HWY_ATTR {
        rows.store(hn::Add(hn::Add(at.load(xr + c), at.load(yr + c)), at.load(b + c)), out + c, at);
      });
    }
  }
};

}  // namespace

// One function an operation and target: Highway chooses among them at run time.
void fused_bias_silu_keep(const ConstView& bias, const ConstView& z, const View& kept, const View& a) {
  z.dtype() == DType::f32 ? Fused<float>::bias_silu_keep(bias, z, kept, a)
                          : Fused<double>::bias_silu_keep(bias, z, kept, a);
}
void fused_silu_with_slope(const ConstView& bias, const ConstView& z, const View& a, const View& slope) {
  z.dtype() == DType::f32 ? Fused<float>::silu_with_slope(bias, z, a, slope)
                          : Fused<double>::silu_with_slope(bias, z, a, slope);
}
void fused_multiply_slope(const ConstView& slope, const View& dz, const View& dbias) {
  dz.dtype() == DType::f32 ? Fused<float>::multiply_slope(slope, dz, dbias)
                           : Fused<double>::multiply_slope(slope, dz, dbias);
}
void fused_normalise(const ConstView& gain, const ConstView& bias, const ConstView& mean,
                     const ConstView& rstd, const ConstView& x, const View& y) {
  x.dtype() == DType::f32 ? Fused<float>::normalise(gain, bias, mean, rstd, x, y)
                          : Fused<double>::normalise(gain, bias, mean, rstd, x, y);
}
void fused_gated_norm(const GatedNorm& norm, const ConstView& x, const ConstView& u, const View& y) {
  x.dtype() == DType::f32 ? Fused<float>::gated_norm(norm, x, u, y)
                          : Fused<double>::gated_norm(norm, x, u, y);
}
void fused_gated_norm_backward(const GatedNorm& norm, const ConstView& x, const ConstView& u,
                               const ConstView& dy, const View& y, const View& du, const View& dx,
                               const View& dgain, const View& dbias) {
  x.dtype() == DType::f32 ? Fused<float>::gated_norm_backward(norm, x, u, dy, y, du, dx, dgain, dbias)
                          : Fused<double>::gated_norm_backward(norm, x, u, dy, y, du, dx, dgain, dbias);
}
void fused_add_residual(const ConstView& x, const ConstView& y, const ConstView& bias, const View& kept) {
  x.dtype() == DType::f32 ? Fused<float>::add_residual(x, y, bias, kept)
                          : Fused<double>::add_residual(x, y, bias, kept);
}

}  // namespace lime::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lime::cpu {

HWY_EXPORT(fused_bias_silu_keep);
HWY_EXPORT(fused_silu_with_slope);
HWY_EXPORT(fused_multiply_slope);
HWY_EXPORT(fused_normalise);
HWY_EXPORT(fused_gated_norm);
HWY_EXPORT(fused_gated_norm_backward);
HWY_EXPORT(fused_add_residual);

void bias_silu_keep(const ConstView& bias, const ConstView& z, View kept, View a) {
  HWY_DYNAMIC_DISPATCH(fused_bias_silu_keep)(bias, z, kept, a);
}
void silu_with_slope(const ConstView& bias, const ConstView& z, View a, View slope) {
  HWY_DYNAMIC_DISPATCH(fused_silu_with_slope)(bias, z, a, slope);
}
void multiply_slope(const ConstView& slope, View dz, View dbias) {
  HWY_DYNAMIC_DISPATCH(fused_multiply_slope)(slope, dz, dbias);
}
void normalise(const ConstView& gain, const ConstView& bias, const ConstView& mean, const ConstView& rstd,
               const ConstView& x, View y) {
  HWY_DYNAMIC_DISPATCH(fused_normalise)(gain, bias, mean, rstd, x, y);
}
void gated_norm(const GatedNorm& norm, const ConstView& x, const ConstView& u, View y) {
  HWY_DYNAMIC_DISPATCH(fused_gated_norm)(norm, x, u, y);
}
void gated_norm_backward(const GatedNorm& norm, const ConstView& x, const ConstView& u, const ConstView& dy,
                         View y, View du, View dx, View dgain, View dbias) {
  HWY_DYNAMIC_DISPATCH(fused_gated_norm_backward)(norm, x, u, dy, y, du, dx, dgain, dbias);
}
void add_residual(const ConstView& x, const ConstView& y, const ConstView& bias, View kept) {
  HWY_DYNAMIC_DISPATCH(fused_add_residual)(x, y, bias, kept);
}

}  // namespace lime::cpu
#endif  // HWY_ONCE
