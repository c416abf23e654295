// LayerNorm; a warp computes a row, or half of one where rows are short. Backward goes over its rows once,
// for the gradients of input and parameters, where rows are short enough to be held.
#include "runtime/cuda_kernel.h"
#include "runtime/cuda_kernel_columns.h"
#include "runtime/cuda_kernel_lanes.h"
#include "runtime/cuda_kernel_math.h"
#include "runtime/primitives_cuda.h"

namespace lime::cuda {

namespace {

template <typename T, typename L, typename A = Compute<T>>
__global__ void __launch_bounds__(lanes_threads)
    layer_norm_kernel(Matrix<const T> x, const A* gain, const A* bias, A eps, Matrix<T> y, Matrix<A> mean,
                      Matrix<A> rstd) {
  constexpr int N = L::N;
  const RowLanes<L> lanes(x.rows, x.cols, int64_t{blockIdx.x} * L::rows);
  const LaneValues<T, L> row(lanes, x);
  const auto [m, s] = row_statistics(lanes, row, eps);
  if (!lanes.there) return;
  lanes.each([&](int p, int64_t c) {
    A v[N], g[N], b[N];
    row.get(p, c, v);
    load_vector(gain + c, g);
    load_vector(bias + c, b);
    for (int i = 0; i < N; ++i) v[i] = multiply_add((v[i] - m) * s, g[i], b[i]);
    store(v, y.row(lanes.r) + c);
  });
  if (lanes.lane == 0) *mean.row(lanes.r) = m, *rstd.row(lanes.r) = s;
}

// With h = (x - mean) rstd and e = dy gain: dx = rstd (e - mean(e) - h mean(e h)). Where rows are held, also
// the block's part of dgain += dy h, dbias += dy (LaneColumnSums).
template <typename T, typename L, typename A = Compute<T>>
__global__ void __launch_bounds__(lanes_threads, blocks_at_once<L>)
    layer_norm_backward_kernel(Matrix<const T> x, const A* gain, Matrix<const A> mean, Matrix<const A> rstd,
                               Matrix<const T> dy, bool accumulate, Matrix<T> dx, int64_t rows_of_block,
                               A* partial) {
  constexpr int N = L::N;
  const A share = 1 / static_cast<A>(x.cols);
  LaneColumnSums<2, L, A> parameters;
  const int64_t begin = blockIdx.x * rows_of_block,
                end = begin + rows_of_block < x.rows ? begin + rows_of_block : x.rows;
  for (int64_t first = begin; first < end; first += L::rows) {
    const RowLanes<L> lanes(end, x.cols, first);
    const LaneValues<T, L> row(lanes, x), drow(lanes, dy, lanes.there), dx_before(lanes, dx, accumulate);
    const A m = *mean.row(lanes.r), s = *rstd.row(lanes.r);
    A sum_e = 0, sum_eh = 0;
    lanes.each([&](int p, int64_t c) {
      A v[N], d[N], g[N];
      row.get(p, c, v);
      drow.get(p, c, d);
      load_vector(gain + c, g);
      for (int i = 0; i < N; ++i) {
        const A h = (v[i] - m) * s, e = d[i] * g[i];
        sum_e += e;
        sum_eh += e * h;
        if constexpr (L::held) {
          parameters.at[0][p][i] += d[i] * h;
          parameters.at[1][p][i] += d[i];
        }
      }
    });
    const A mean_e = lanes.sum(sum_e) * share, mean_eh = lanes.sum(sum_eh) * share;
    if (!lanes.there) continue;
    lanes.each([&](int p, int64_t c) {
      A v[N], d[N], g[N], before[N];
      row.get(p, c, v);
      drow.get(p, c, d);
      load_vector(gain + c, g);
      dx_before.get(p, c, before);
      for (int i = 0; i < N; ++i) {
        const A h = (v[i] - m) * s, e = d[i] * g[i];
        v[i] = before[i] + s * (e - mean_e - h * mean_eh);
      }
      store(v, dx.row(lanes.r) + c);
    });
  }
  if constexpr (L::held) parameters.write(x.cols, partial);
}

// dgain += dy h, dbias += dy.
template <int N, typename T, typename A = Compute<T>>
struct ParameterGradients {
  Matrix<const T> x, dy;
  Matrix<const A> mean, rstd;
  __device__ void operator()(int64_t r, int64_t c, A (&sum)[2][N]) const {
    const A m = *mean.row(r), s = *rstd.row(r);
    A v[N], d[N];
    load(x.row(r) + c, v);
    load(dy.row(r) + c, d);
    for (int i = 0; i < N; ++i) {
      sum[0][i] += d[i] * ((v[i] - m) * s);
      sum[1][i] += d[i];
    }
  }
};

}  // namespace

void layer_norm(Context& ctx, const ConstView& x, const ConstView& gain, const ConstView& bias, double eps,
                View y, View mean, View rstd) {
  with_row_type(x.dtype(), [&]<typename T>(T) {
    using A = Compute<T>;
    with_row_lanes<T>({x, y}, {gain, bias}, [&]<typename L>() {
      launch(ctx, "layer_norm", layer_norm_kernel<T, L>, dim3(divide_up(x.rows(), L::rows)),
             dim3(lanes_threads), 0, matrix<const T>(x), gain.data<A>(), bias.data<A>(), static_cast<A>(eps),
             matrix<T>(y), matrix<A>(mean), matrix<A>(rstd));
    });
  });
}

void layer_norm_backward(Context& ctx, const ConstView& x, const ConstView& gain, const ConstView& mean,
                         const ConstView& rstd, const ConstView& dy, GradMode input, View dx, GradMode params,
                         View dgain, View dbias) {
  const char* name = "layer_norm_backward";
  const bool accumulate = params == GradMode::accumulate;
  with_row_type(x.dtype(), [&]<typename T>(T) {
    using A = Compute<T>;
    const Arena::Scope scope(ctx.arena());
    const columns::Outputs<2, A> out{dgain.data<A>(), dbias.data<A>()};
    with_row_lanes<T, Rows::summed>({x, dy, dx}, {gain}, [&]<typename L>() {
      with_parameter_gradients<L, A>(
          ctx, name, x.rows(), x.cols(), accumulate, out,
          ParameterGradients<L::N, T>{matrix<const T>(x), matrix<const T>(dy), matrix<const A>(mean),
                                      matrix<const A>(rstd)},
          [&](dim3 blocks, int64_t rows_of_block, A* partial) {
            launch(ctx, name, layer_norm_backward_kernel<T, L>, blocks, dim3(lanes_threads), 0,
                   matrix<const T>(x), gain.data<A>(), matrix<const A>(mean), matrix<const A>(rstd),
                   matrix<const T>(dy), input == GradMode::accumulate, matrix<T>(dx), rows_of_block, partial);
          });
    });
  });
}

}  // namespace lime::cuda
