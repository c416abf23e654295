// Fused row operations: a thread has 16 bytes of a row, or, where a row is summed over, a warp has the row,
// or half of one where rows are short. Each goes over its rows once, where they are short enough to be held.
#include "layers/cuda_kernels.h"
#include "runtime/cuda_kernel.h"
#include "runtime/cuda_kernel_columns.h"
#include "runtime/cuda_kernel_lanes.h"
#include "runtime/cuda_kernel_math.h"
#include "runtime/cuda_kernel_rows.h"

namespace lime::cuda {

namespace {

constexpr int rows_at_once = 2;  // of a thread: their loads are under way together

// Each thread has N columns of some rows, and their biases in registers.
template <int N, typename T>
__global__ void __launch_bounds__(rows::threads)
    bias_silu_keep_kernel(const Compute<T>* bias, Matrix<const T> z, Matrix<T> kept, Matrix<T> a) {
  const int64_t c = (int64_t{blockIdx.x} * blockDim.x + threadIdx.x) * N;
  if (c >= z.cols) return;
  Compute<T> b[N];
  load_vector(bias + c, b);
  const int64_t step = int64_t{gridDim.y} * blockDim.y;
  for (int64_t first = int64_t{blockIdx.y} * blockDim.y + threadIdx.y; first < z.rows;
       first += rows_at_once * step) {
    Pack<T, N> product[rows_at_once];
#pragma unroll
    for (int k = 0; k < rows_at_once; ++k)
      if (first + k * step < z.rows) product[k] = load_pack<N>(z.row(first + k * step) + c);
#pragma unroll
    for (int k = 0; k < rows_at_once; ++k) {
      const int64_t r = first + k * step;
      if (r >= z.rows) break;
      Compute<T> x[N];
#pragma unroll
      for (int i = 0; i < N; ++i) x[i] = silu<Compute<T>, T>(to_compute(product[k].at[i]) + b[i]);
      if (kept.data != z.data) store_pack(kept.row(r) + c, product[k]);
      store(x, a.row(r) + c);
    }
  }
}

// dz = dz . SiLU'(z + bias), and its column sums.
template <int N, typename T>
struct MultiplySlope {
  const Compute<T>* bias;
  Matrix<const T> z;
  Matrix<T> dz;
  __device__ void operator()(int64_t r, int64_t c, Compute<T> (&sum)[1][N]) const {
    Compute<T> x[N], b[N], g[N];
    load(z.row(r) + c, x);
    load(dz.row(r) + c, g);
    load_vector(bias + c, b);
    for (int i = 0; i < N; ++i) {
      g[i] *= silu_slope<Compute<T>, T>(x[i] + b[i]);
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
    Compute<T> v[N], g[N], b[N];
    load(x.row(r) + c, v);
    load_vector(gain + c, g);
    load_vector(bias + c, b);
    for (int i = 0; i < N; ++i) v[i] = multiply_add((v[i] - m) * s, g[i], b[i]);
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
    Compute<T> a[N], b[N], shift[N];
    load(x.row(r) + c, a);
    load(y.row(r) + c, b);
    load_vector(bias + c, shift);
    for (int i = 0; i < N; ++i) a[i] = a[i] + b[i] + shift[i];
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

template <typename T, typename L>
__global__ void __launch_bounds__(lanes_threads)
    gated_norm_kernel(Norm<T> norm, Matrix<const T> x, Matrix<const T> u, Matrix<T> y) {
  using A = Compute<T>;
  constexpr int N = L::N;
  const RowLanes<L> lanes(x.rows, x.cols, int64_t{blockIdx.x} * L::rows);
  const LaneValues<T, L> row(lanes, x), gates(lanes, u);
  const auto [m, s] = row_statistics(lanes, row, norm.eps);
  if (!lanes.there) return;
  lanes.each([&](int p, int64_t c) {
    A v[N], gate[N], gain[N], bias[N];
    row.get(p, c, v);
    gates.get(p, c, gate);
    load_vector(norm.gain + c, gain);
    load_vector(norm.bias + c, bias);
    for (int i = 0; i < N; ++i) v[i] = multiply_add((v[i] - m) * s, gain[i], bias[i]) * gate[i];
    store(v, y.row(lanes.r) + c);
  });
  if (lanes.lane == 0) *norm.mean.row(lanes.r) = m, *norm.rstd.row(lanes.r) = s;
}

// With e = (x - mean) rstd and h = gain . u . dy: dx = rstd (h - mean(h) - e mean(h e)). Where rows are held,
// also the block's part of dgain += u dy e, dbias += u dy.
template <typename T, typename L>
__global__ void __launch_bounds__(lanes_threads, blocks_at_once<L>)
    gated_norm_backward_kernel(Norm<T> norm, Matrix<const T> x, Matrix<const T> u, Matrix<const T> dy,
                               Matrix<T> y, Matrix<T> du, Matrix<T> dx, int64_t rows_of_block,
                               Compute<T>* partial) {
  using A = Compute<T>;
  constexpr int N = L::N;
  const A share = 1 / static_cast<A>(x.cols);
  LaneColumnSums<2, L, A> parameters;
  const int64_t begin = blockIdx.x * rows_of_block,
                end = begin + rows_of_block < x.rows ? begin + rows_of_block : x.rows;
  for (int64_t first = begin; first < end; first += L::rows) {
    const RowLanes<L> lanes(end, x.cols, first);
    const LaneValues<T, L> row(lanes, x), gates(lanes, u), drow(lanes, dy, lanes.there);
    const A m = *norm.mean.row(lanes.r), s = *norm.rstd.row(lanes.r);
    A sum = 0, sum_e = 0;
    lanes.each([&](int p, int64_t c) {
      A v[N], gate[N], g[N], gain[N], bias[N], dgate[N];
      row.get(p, c, v);
      gates.get(p, c, gate);
      drow.get(p, c, g);
      load_vector(norm.gain + c, gain);
      load_vector(norm.bias + c, bias);
      for (int i = 0; i < N; ++i) {
        const A e = (v[i] - m) * s, normed = multiply_add(e, gain[i], bias[i]), d = gate[i] * g[i];
        const A h = gain[i] * d;
        v[i] = normed * gate[i];
        dgate[i] = normed * g[i];
        sum += h;
        sum_e += h * e;
        if constexpr (L::held) {
          parameters.at[0][p][i] += d * e;
          parameters.at[1][p][i] += d;
        }
      }
      if (!lanes.there) return;
      if (y.data) store(v, y.row(lanes.r) + c);
      store(dgate, du.row(lanes.r) + c);
    });
    const A shift = lanes.sum(sum) * share, tilt = lanes.sum(sum_e) * share;
    if (!lanes.there) continue;
    lanes.each([&](int p, int64_t c) {
      A v[N], gate[N], g[N], gain[N];
      row.get(p, c, v);
      gates.get(p, c, gate);
      drow.get(p, c, g);
      load_vector(norm.gain + c, gain);
      for (int i = 0; i < N; ++i) {
        const A e = (v[i] - m) * s, h = gain[i] * (gate[i] * g[i]);
        v[i] = s * (h - shift - e * tilt);
      }
      store(v, dx.row(lanes.r) + c);
    });
  }
  if constexpr (L::held) parameters.write(x.cols, partial);
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

}  // namespace

void bias_silu_keep(Context& ctx, const ConstView& bias, const ConstView& z, View kept, View a) {
  if (z.empty()) return;
  with_row_type(z.dtype(), [&]<typename T>(T) {
    with_pack_width<T>({z, kept, a, bias}, [&]<int N>() {
      const auto [grid, block] = rows::blocks_of(divide_up(z.rows(), rows_at_once), z.cols() / N);
      launch(ctx, "bias_silu_keep", bias_silu_keep_kernel<N, T>, grid, block, 0, bias.data<Compute<T>>(),
             matrix<const T>(z), matrix<T>(kept), matrix<T>(a));
    });
  });
}

void multiply_slope(Context& ctx, const ConstView& bias, const ConstView& z, View dz, View dbias) {
  with_row_type(dz.dtype(), [&]<typename T>(T) {
    using A = Compute<T>;
    with_pack_width<T>({z, dz, bias}, [&]<int N>() {
      column_sums_of_packs<1, N, A>(ctx, "multiply_slope",
                                    MultiplySlope<N, T>{bias.data<A>(), matrix<const T>(z), matrix<T>(dz)},
                                    dz.rows(), dz.cols(), true, {dbias.data<A>()});
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
                 {x, y, gain, bias});
  });
}

void gated_norm(Context& ctx, const GatedNorm& norm, const ConstView& x, const ConstView& u, View y) {
  with_row_type(x.dtype(), [&]<typename T>(T) {
    with_row_lanes<T>({x, u, y}, {norm.gain, norm.bias}, [&]<typename L>() {
      launch(ctx, "gated_norm", gated_norm_kernel<T, L>, dim3(divide_up(x.rows(), L::rows)),
             dim3(lanes_threads), 0, Norm<T>(norm), matrix<const T>(x), matrix<const T>(u), matrix<T>(y));
    });
  });
}

void gated_norm_backward(Context& ctx, const GatedNorm& norm, const ConstView& x, const ConstView& u,
                         const ConstView& dy, View y, View du, View dx, View dgain, View dbias) {
  const char* name = "gated_norm_backward";
  with_row_type(x.dtype(), [&]<typename T>(T) {
    using A = Compute<T>;
    const Arena::Scope scope(ctx.arena());
    const columns::Outputs<2, A> out{dgain.data<A>(), dbias.data<A>()};
    const ConstView made = y.cols() > 0 ? ConstView(y) : x;
    with_row_lanes<T, Rows::summed>({x, u, dy, made, du, dx}, {norm.gain, norm.bias}, [&]<typename L>() {
      with_parameter_gradients<L, A>(
          ctx, name, x.rows(), x.cols(), true, out,
          GatedNormParameters<L::N, T>{matrix<const A>(norm.mean), matrix<const A>(norm.rstd),
                                       matrix<const T>(x), matrix<const T>(u), matrix<const T>(dy)},
          [&](dim3 blocks, int64_t rows_of_block, A* partial) {
            launch(ctx, name, gated_norm_backward_kernel<T, L>, blocks, dim3(lanes_threads), 0, Norm<T>(norm),
                   matrix<const T>(x), matrix<const T>(u), matrix<const T>(dy),
                   y.cols() > 0 ? matrix<T>(y) : Matrix<T>{}, matrix<T>(du), matrix<T>(dx), rows_of_block,
                   partial);
          });
    });
  });
}

void add_residual(Context& ctx, const ConstView& x, const ConstView& y, const ConstView& bias, View kept) {
  with_row_type(x.dtype(), [&]<typename T>(T) {
    each_pack<T>(
        ctx, "add_residual",
        AddResidual<T>{bias.data<Compute<T>>(), matrix<const T>(x), matrix<const T>(y), matrix<T>(kept)},
        {x, y, kept, bias});
  });
}

}  // namespace lime::cuda
