#include "layers/loss.h"

#include <algorithm>
#include <cmath>

#include "layers/cuda_kernels.h"
#include "layers/dispatch.h"
#include "runtime/trace.h"

namespace lime {
namespace {

// Never overflows: the exponent is never positive.
double sigmoid_of(double x) {
  const double e = std::exp(-std::abs(x));
  return x >= 0 ? 1 / (1 + e) : e / (1 + e);
}

template <typename T>
void bce_on_host(const ConstView& logits, const ConstView& labels, const ConstView& weights,
                 const View& dlogits, double* loss) {
  std::fill(loss, loss + logits.cols(), 0.0);
  for (int64_t r = 0; r < logits.rows(); ++r) {
    const T *xs = logits.row<T>(r), *ys = labels.row<T>(r), *ws = weights.row<T>(r);
    T* ds = dlogits.row<T>(r);
    for (int64_t t = 0; t < logits.cols(); ++t) {
      const double x = static_cast<double>(xs[t]), y = static_cast<double>(ys[t]),
                   w = static_cast<double>(ws[t]);
      if (w == 0) {  // left out, whatever the logit
        ds[t] = T{0};
        continue;
      }
      loss[t] += w * (std::max(x, 0.0) - x * y + std::log1p(std::exp(-std::abs(x))));
      ds[t] = static_cast<T>(w * (sigmoid_of(x) - y));
    }
  }
}

}  // namespace

void bce_with_logits(Context& ctx, const ConstView& logits, const ConstView& labels, const ConstView& weights,
                     View dlogits, View loss) {
  const TraceRange range(ctx, "loss");
  const int64_t rows = logits.rows(), tasks = logits.cols();
  check_parameter(ctx, logits, rows, tasks, "logits");
  check_parameter(ctx, labels, rows, tasks, "labels");
  check_parameter(ctx, weights, rows, tasks, "weights");
  check_parameter(ctx, dlogits, rows, tasks, "dlogits");
  check_view(ctx, loss, 1, tasks, DType::f64, "loss");
  dispatch(
      ctx, "loss",
      [&]<typename T>(T) { bce_on_host<T>(logits, labels, weights, dlogits, loss.data<double>()); },
      [&] { cuda::bce_with_logits(ctx, logits, labels, weights, dlogits, loss); });
}

void sigmoid(Context& ctx, const ConstView& logits, View p) {
  check_parameter(ctx, logits, p.rows(), p.cols(), "logits");
  check_parameter(ctx, p, p.rows(), p.cols(), "probabilities");
  dispatch(
      ctx, "sigmoid",
      [&]<typename T>(T) {
        for (int64_t r = 0; r < p.rows(); ++r)
          for (int64_t t = 0; t < p.cols(); ++t)
            p.row<T>(r)[t] = static_cast<T>(sigmoid_of(static_cast<double>(logits.row<T>(r)[t])));
      },
      [&] { cuda::sigmoid(ctx, logits, p); });
}

}  // namespace lime
