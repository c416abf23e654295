#include "layers/cuda_kernels.h"
#include "runtime/cuda_kernel.h"
#include "runtime/cuda_kernel_rows.h"

namespace lime::cuda {

namespace {

struct LastOf {
  const int64_t *of_x, *of_y;
  int64_t segments;
};

template <typename T>
struct LastRows {
  LastOf last;
  Matrix<const T> x;
  Matrix<T> y;
  template <int N>
  __device__ void at(int64_t r, int64_t c) const {
    const int64_t b = segment_of(last.of_y, last.segments, r);
    store_pack(y.row(r) + c, load_pack<N>(x.row(last.of_x[b + 1] - (last.of_y[b + 1] - r)) + c));
  }
};

template <typename T>
struct LastRowsGradient {
  LastOf last;
  Matrix<const T> dy;
  Matrix<T> dx;
  template <int N>
  __device__ void at(int64_t r, int64_t c) const {
    const int64_t b = segment_of(last.of_x, last.segments, r), from_end = last.of_x[b + 1] - r;
    Pack<T, N> pack{};
    if (from_end <= last.of_y[b + 1] - last.of_y[b])
      pack = load_pack<N>(dy.row(last.of_y[b + 1] - from_end) + c);
    store_pack(dx.row(r) + c, pack);
  }
};

}  // namespace

void last_rows(Context& ctx, const ConstView& x, const Jagged& of_x, const Jagged& of_y, View y) {
  with_row_type(y.dtype(), [&]<typename T>(T) {
    each_pack<T>(
        ctx, "last_rows",
        LastRows<T>{{of_x.device(), of_y.device(), of_x.segments()}, matrix<const T>(x), matrix<T>(y)},
        {y, x});
  });
}

void last_rows_backward(Context& ctx, const ConstView& dy, const Jagged& of_x, const Jagged& of_y, View dx) {
  with_row_type(dx.dtype(), [&]<typename T>(T) {
    each_pack<T>(ctx, "last_rows_backward",
                 LastRowsGradient<T>{
                     {of_x.device(), of_y.device(), of_x.segments()}, matrix<const T>(dy), matrix<T>(dx)},
                 {dx, dy});
  });
}

}  // namespace lime::cuda
