// Mixtures of links. Requests have few candidates and few links, so a product for each would be a launch for
// nothing: a thread computes 16 bytes of a row, and what its neighbours read too comes from the first-level
// cache.
#include "layers/cuda_kernels.h"
#include "runtime/cuda_kernel.h"
#include "runtime/cuda_kernel_rows.h"

namespace lime::cuda {

namespace {

struct Candidates {
  const int64_t* offsets;
  int64_t requests, links, width;  // width: of a head
};

template <typename T>
struct Mix {
  Candidates of;
  Matrix<const T> p, values;
  Matrix<T> y;
  template <int N>
  __device__ void at(int64_t r, int64_t c) const {
    const int64_t b = segment_of(of.offsets, of.requests, r);
    const T* weights = p.row(r) + c / of.width * of.links;
    Compute<T> sum[N] = {};
    for (int64_t i = 0; i < of.links; ++i) {
      const Compute<T> weight = to_compute(weights[i]);
      Compute<T> v[N];
      load(values.row(b * of.links + i) + c, v);
      for (int k = 0; k < N; ++k) sum[k] += weight * v[k];
    }
    store(sum, y.row(r) + c);
  }
};

// dp[c, h, i]: a thread has one.
template <int N, typename T>
struct WeightGradient {
  Candidates of;
  Matrix<const T> values, dy;
  Matrix<T> dp;
  template <int>
  __device__ void at(int64_t r, int64_t column) const {
    const int64_t h = column / of.links, i = column % of.links;
    const int64_t b = segment_of(of.offsets, of.requests, r);
    const T *g = dy.row(r) + h * of.width, *v = values.row(b * of.links + i) + h * of.width;
    Compute<T> sum = 0;
    for (int64_t k = 0; k < of.width; k += N) {
      Compute<T> x[N], y[N];
      load(g + k, x);
      load(v + k, y);
      for (int j = 0; j < N; ++j) sum += x[j] * y[j];
    }
    dp.row(r)[column] = from_compute<T>(sum);
  }
};

template <typename T>
struct ValueGradient {
  Candidates of;
  Matrix<const T> p, dy;
  Matrix<T> dvalues;
  template <int N>
  __device__ void at(int64_t row, int64_t c) const {
    const int64_t b = row / of.links, weight = c / of.width * of.links + row % of.links;
    Compute<T> sum[N] = {};
    for (int64_t r = of.offsets[b]; r < of.offsets[b + 1]; ++r) {
      const Compute<T> w = to_compute(p.row(r)[weight]);
      Compute<T> g[N];
      load(dy.row(r) + c, g);
      for (int k = 0; k < N; ++k) sum[k] += w * g[k];
    }
    store(sum, dvalues.row(row) + c);
  }
};

Candidates candidates(int64_t heads, const ConstView& p, const ConstView& y, const Jagged& impressions) {
  return {impressions.device(), impressions.segments(), p.cols() / heads, y.cols() / heads};
}

}  // namespace

void mix_links(Context& ctx, int64_t heads, const ConstView& p, const ConstView& values,
               const Jagged& impressions, View y) {
  if (y.empty()) return;
  const Candidates of = candidates(heads, p, y, impressions);
  with_row_type(y.dtype(), [&]<typename T>(T) {
    // A pack lies in one head.
    with_pack_width<T>({y.slice_cols(0, of.width), values.slice_cols(0, of.width)}, [&]<int N>() {
      each_pack_of<N>(ctx, "mix_links", Mix<T>{of, matrix<const T>(p), matrix<const T>(values), matrix<T>(y)},
                      y.rows(), y.cols());
    });
  });
}

void mix_links_backward(Context& ctx, int64_t heads, const ConstView& p, const ConstView& values,
                        const Jagged& impressions, const ConstView& dy, View dp, View dvalues) {
  if (dvalues.empty()) return;
  const Candidates of = candidates(heads, p, dy, impressions);
  with_row_type(dy.dtype(), [&]<typename T>(T) {
    const auto head = [&](const ConstView& x) { return x.slice_cols(0, of.width); };
    with_pack_width<T>({head(dy), head(values), head(dvalues)}, [&]<int N>() {
      each_pack_of<1>(ctx, "mix_links_backward",
                      WeightGradient<N, T>{of, matrix<const T>(values), matrix<const T>(dy), matrix<T>(dp)},
                      dp.rows(), dp.cols());
      each_pack_of<N>(ctx, "mix_links_backward",
                      ValueGradient<T>{of, matrix<const T>(p), matrix<const T>(dy), matrix<T>(dvalues)},
                      dvalues.rows(), dvalues.cols());
    });
  });
}

}  // namespace lime::cuda
