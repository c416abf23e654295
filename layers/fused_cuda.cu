// Fused row operations: a thread has 16 bytes of a row, or, where a row is summed over, a warp has the row.
// In bf16, what is kept is rounded before anything is computed from it: as backward will see it.
#include "layers/cuda_kernels.h"
#include "runtime/cuda_kernel.h"
#include "runtime/cuda_kernel_columns.h"
#include "runtime/cuda_kernel_math.h"
#include "runtime/cuda_kernel_rows.h"

namespace lime::cuda {

namespace {

constexpr int rows_a_block = 8;

template <typename T>
__device__ Compute<T> rounded(Compute<T> x) {
  return to_compute(from_compute<T>(x));
}

template <typename T>
struct BiasSiluKeep {
  const Compute<T>* bias;
  Matrix<const T> z;
  Matrix<T> kept, a;
  template <int N>
  __device__ void at(int64_t r, int64_t c) const {
    Compute<T> x[N], y[N];
    load(z.row(r) + c, x);
    for (int i = 0; i < N; ++i) {
      x[i] = rounded<T>(x[i] + bias[c + i]);
      y[i] = silu(x[i]);
    }
    store(x, kept.row(r) + c);
    store(y, a.row(r) + c);
  }
};

template <typename T>
struct SiluWithSlope {
  Matrix<const T> z;
  Matrix<T> a, slope;
  template <int N>
  __device__ void at(int64_t r, int64_t c) const {
    Compute<T> x[N], s[N];
    load(z.row(r) + c, x);
    for (int i = 0; i < N; ++i) {
      s[i] = silu_slope(x[i]);
      x[i] = silu(x[i]);
    }
    store(x, a.row(r) + c);
    store(s, slope.row(r) + c);
  }
};

// dz = dz . slope, and its column sums.
template <int N, typename T>
struct MultiplySlope {
  Matrix<const T> slope;
  Matrix<T> dz;
  __device__ void operator()(int64_t r, int64_t c, Compute<T> (&sum)[1][N]) const {
    Compute<T> s[N], g[N];
    load(slope.row(r) + c, s);
    load(dz.row(r) + c, g);
    for (int i = 0; i < N; ++i) {
      g[i] *= s[i];
      sum[0][i] += g[i];
    }
    store(g, dz.row(r) + c);
  }
};

template <typename T>
struct Normalise {
  const Compute<T>*gain, *bias;
  Matrix<const Compute<T>> mean, rstd;
  Matrix<const T> x;
  Matrix<T> y;
  template <int N>
  __device__ void at(int64_t r, int64_t c) const {
    const Compute<T> m = *mean.row(r), s = *rstd.row(r);
    Compute<T> v[N];
    load(x.row(r) + c, v);
    for (int i = 0; i < N; ++i) v[i] = multiply_add((v[i] - m) * s, gain[c + i], bias[c + i]);
    store(v, y.row(r) + c);
  }
};

template <typename T>
struct AddResidual {
  const Compute<T>* bias;
  Matrix<const T> x, y;
  Matrix<T> kept;
  template <int N>
  __device__ void at(int64_t r, int64_t c) const {
    Compute<T> a[N], b[N];
    load(x.row(r) + c, a);
    load(y.row(r) + c, b);
    for (int i = 0; i < N; ++i) a[i] = a[i] + b[i] + bias[c + i];
    store(a, kept.row(r) + c);
  }
};

// What the kernels of GatedNorm are given.
template <typename T>
struct Norm {
  const Compute<T>*gain, *bias;
  Matrix<Compute<T>> mean, rstd;
  Compute<T> eps;

  explicit Norm(const GatedNorm& n)
      : gain(n.gain.data<Compute<T>>()),
        bias(n.bias.data<Compute<T>>()),
        mean(matrix<Compute<T>>(n.mean)),
        rstd(matrix<Compute<T>>(n.rstd)),
        eps(static_cast<Compute<T>>(n.eps)) {}
};

template <int N, typename T>
__global__ void gated_norm_kernel(Norm<T> norm, Matrix<const T> x, Matrix<const T> u, Matrix<T> y) {
  using A = Compute<T>;
  const int64_t r = int64_t{blockIdx.x} * rows_a_block + threadIdx.y;
  if (r >= x.rows) return;
  const int64_t first = int64_t{threadIdx.x} * N, step = warp_size * N;
  const auto count = static_cast<A>(x.cols);
  A v[N], gate[N], sum = 0, squares = 0;
  for (int64_t c = first; c < x.cols; c += step) {
    load(x.row(r) + c, v);
    for (int i = 0; i < N; ++i) sum += v[i];
  }
  const A m = warp_sum(sum) / count;
  for (int64_t c = first; c < x.cols; c += step) {
    load(x.row(r) + c, v);
    for (int i = 0; i < N; ++i) squares += (v[i] - m) * (v[i] - m);
  }
  const A s = 1 / square_root(warp_sum(squares) / count + norm.eps);
  for (int64_t c = first; c < x.cols; c += step) {
    load(x.row(r) + c, v);
    load(u.row(r) + c, gate);
    for (int i = 0; i < N; ++i)
      v[i] = multiply_add((v[i] - m) * s, norm.gain[c + i], norm.bias[c + i]) * gate[i];
    store(v, y.row(r) + c);
  }
  if (threadIdx.x == 0) *norm.mean.row(r) = m, *norm.rstd.row(r) = s;
}

// With e = (x - mean) rstd and h = gain . u . dy: dx = rstd (h - mean(h) - e mean(h e)).
template <int N, typename T>
__global__ void gated_norm_backward_kernel(Norm<T> norm, Matrix<const T> x, Matrix<const T> u,
                                           Matrix<const T> dy, Matrix<T> y, Matrix<T> du, Matrix<T> dx) {
  using A = Compute<T>;
  const int64_t r = int64_t{blockIdx.x} * rows_a_block + threadIdx.y;
  if (r >= x.rows) return;
  const int64_t first = int64_t{threadIdx.x} * N, step = warp_size * N;
  const A m = *norm.mean.row(r), s = *norm.rstd.row(r), count = static_cast<A>(x.cols);
  A v[N], gate[N], g[N], sum = 0, sum_e = 0;
  for (int64_t c = first; c < x.cols; c += step) {
    load(x.row(r) + c, v);
    load(u.row(r) + c, gate);
    load(dy.row(r) + c, g);
    A out[N], dgate[N];
    for (int i = 0; i < N; ++i) {
      const A e = (v[i] - m) * s, normed = multiply_add(e, norm.gain[c + i], norm.bias[c + i]);
      const A h = norm.gain[c + i] * gate[i] * g[i];
      out[i] = normed * gate[i];
      dgate[i] = normed * g[i];
      sum += h;
      sum_e += h * e;
    }
    store(out, y.row(r) + c);
    store(dgate, du.row(r) + c);
  }
  const A shift = warp_sum(sum) / count, tilt = warp_sum(sum_e) / count;
  for (int64_t c = first; c < x.cols; c += step) {
    load(x.row(r) + c, v);
    load(u.row(r) + c, gate);
    load(dy.row(r) + c, g);
    for (int i = 0; i < N; ++i) {
      const A e = (v[i] - m) * s, h = norm.gain[c + i] * gate[i] * g[i];
      v[i] = s * (h - shift - e * tilt);
    }
    store(v, dx.row(r) + c);
  }
}

// dgain += u dy e, dbias += u dy.
template <int N, typename T>
struct GatedNormParameters {
  Matrix<const Compute<T>> mean, rstd;
  Matrix<const T> x, u, dy;
  __device__ void operator()(int64_t r, int64_t c, Compute<T> (&sum)[2][N]) const {
    const Compute<T> m = *mean.row(r), s = *rstd.row(r);
    Compute<T> v[N], gate[N], g[N];
    load(x.row(r) + c, v);
    load(u.row(r) + c, gate);
    load(dy.row(r) + c, g);
    for (int i = 0; i < N; ++i) {
      const Compute<T> d = gate[i] * g[i];
      sum[0][i] += d * ((v[i] - m) * s);
      sum[1][i] += d;
    }
  }
};

dim3 blocks_of_rows(int64_t rows) { return dim3(divide_up(rows, rows_a_block)); }

}  // namespace

void bias_silu_keep(Context& ctx, const ConstView& bias, const ConstView& z, View kept, View a) {
  with_row_type(z.dtype(), [&]<typename T>(T) {
    each_pack<T>(ctx, "bias_silu_keep",
                 BiasSiluKeep<T>{bias.data<Compute<T>>(), matrix<const T>(z), matrix<T>(kept), matrix<T>(a)},
                 {z, kept, a});
  });
}

void silu_with_slope(Context& ctx, const ConstView& z, View a, View slope) {
  with_row_type(z.dtype(), [&]<typename T>(T) {
    each_pack<T>(ctx, "silu_with_slope", SiluWithSlope<T>{matrix<const T>(z), matrix<T>(a), matrix<T>(slope)},
                 {z, a, slope});
  });
}

void multiply_slope(Context& ctx, const ConstView& slope, View dz, View dbias) {
  with_row_type(dz.dtype(), [&]<typename T>(T) {
    with_pack_width<T>({slope, dz}, [&]<int N>() {
      column_sums_of_packs<1, N, Compute<T>>(ctx, "multiply_slope",
                                             MultiplySlope<N, T>{matrix<const T>(slope), matrix<T>(dz)},
                                             dz.rows(), dz.cols(), true, {dbias.data<Compute<T>>()});
    });
  });
}

void normalise(Context& ctx, const ConstView& gain, const ConstView& bias, const ConstView& mean,
               const ConstView& rstd, const ConstView& x, View y) {
  with_row_type(x.dtype(), [&]<typename T>(T) {
    using A = Compute<T>;
    each_pack<T>(ctx, "normalise",
                 Normalise<T>{gain.data<A>(), bias.data<A>(), matrix<const A>(mean), matrix<const A>(rstd),
                              matrix<const T>(x), matrix<T>(y)},
                 {x, y});
  });
}

void gated_norm(Context& ctx, const GatedNorm& norm, const ConstView& x, const ConstView& u, View y) {
  with_row_type(x.dtype(), [&]<typename T>(T) {
    with_pack_width<T>({x, u, y}, [&]<int N>() {
      launch(ctx, "gated_norm", gated_norm_kernel<N, T>, blocks_of_rows(x.rows()),
             dim3(warp_size, rows_a_block), 0, Norm<T>(norm), matrix<const T>(x), matrix<const T>(u),
             matrix<T>(y));
    });
  });
}

void gated_norm_backward(Context& ctx, const GatedNorm& norm, const ConstView& x, const ConstView& u,
                         const ConstView& dy, View y, View du, View dx, View dgain, View dbias) {
  with_row_type(x.dtype(), [&]<typename T>(T) {
    using A = Compute<T>;
    with_pack_width<T>({x, u, dy, y, du, dx}, [&]<int N>() {
      // First the parameters: dx may be dy.
      column_sums_of_packs<2, N, A>(
          ctx, "gated_norm_backward",
          GatedNormParameters<N, T>{matrix<const A>(norm.mean), matrix<const A>(norm.rstd),
                                    matrix<const T>(x), matrix<const T>(u), matrix<const T>(dy)},
          x.rows(), x.cols(), true, {dgain.data<A>(), dbias.data<A>()});
      launch(ctx, "gated_norm_backward", gated_norm_backward_kernel<N, T>, blocks_of_rows(x.rows()),
             dim3(warp_size, rows_a_block), 0, Norm<T>(norm), matrix<const T>(x), matrix<const T>(u),
             matrix<const T>(dy), matrix<T>(y), matrix<T>(du), matrix<T>(dx));
    });
  });
}

void add_residual(Context& ctx, const ConstView& x, const ConstView& y, const ConstView& bias, View kept) {
  with_row_type(x.dtype(), [&]<typename T>(T) {
    each_pack<T>(
        ctx, "add_residual",
        AddResidual<T>{bias.data<Compute<T>>(), matrix<const T>(x), matrix<const T>(y), matrix<T>(kept)},
        {x, y, kept});
  });
}

}  // namespace lime::cuda
