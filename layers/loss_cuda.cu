// Loss: a thread has a logit, in f64 as on the CPU; sums over rows in two passes.
#include "layers/cuda_kernels.h"
#include "runtime/cuda_kernel.h"
#include "runtime/cuda_kernel_columns.h"
#include "runtime/cuda_kernel_math.h"
#include "runtime/cuda_kernel_rows.h"

namespace lime::cuda {

namespace {

template <typename T>
struct Bce {
  Matrix<const T> logits, labels, weights;
  Matrix<T> dlogits;
  __device__ void operator()(int64_t r, int64_t task, double (&sum)[1]) const {
    const double x = logits.row(r)[task], y = labels.row(r)[task], w = weights.row(r)[task];
    T slope = 0;
    if (w != 0) {  // else left out, whatever the logit
      sum[0] += w * ((x > 0 ? x : 0) - x * y + log1p(exponential(-magnitude(x))));
      slope = static_cast<T>(w * (sigmoid(x) - y));
    }
    dlogits.row(r)[task] = slope;
  }
};

template <typename T>
struct Sigmoid {
  Matrix<const T> x;
  Matrix<T> y;
  template <int N>
  __device__ void at(int64_t r, int64_t c) const {
    for (int64_t i = c; i < c + N; ++i)
      y.row(r)[i] = static_cast<T>(cuda::sigmoid(static_cast<double>(x.row(r)[i])));
  }
};

}  // namespace

void bce_with_logits(Context& ctx, const ConstView& logits, const ConstView& labels, const ConstView& weights,
                     View dlogits, View loss) {
  with_parameter_type(logits.dtype(), [&]<typename T>(T) {
    const Bce<T> bce{matrix<const T>(logits), matrix<const T>(labels), matrix<const T>(weights),
                     matrix<T>(dlogits)};
    column_sums<1, double>(ctx, "loss", bce, logits.rows(), logits.cols(), false, {loss.data<double>()});
  });
}

void sigmoid(Context& ctx, const ConstView& logits, View p) {
  with_parameter_type(logits.dtype(), [&]<typename T>(T) {
    each_pack<T>(ctx, "sigmoid", Sigmoid<T>{matrix<const T>(logits), matrix<T>(p)}, {p, logits});
  });
}

}  // namespace lime::cuda
