#include "layers/loss.h"

#include <algorithm>
#include <cmath>

#include "layers/dispatch.h"
#include "runtime/trace.h"

namespace lime {
namespace {

// Never overflows: the exponent is never positive.
double sigmoid_of(double x) {
  const double e = std::exp(-std::abs(x));
  return x >= 0 ? 1 / (1 + e) : e / (1 + e);
}

}  // namespace

std::vector<double> bce_with_logits(Context& ctx, const ConstView& logits, const ConstView& labels,
                                    const ConstView& weights, View dlogits) {
  const TraceRange range(ctx, "loss");
  const int64_t rows = logits.rows(), tasks = logits.cols();
  check_shape(ctx, logits, rows, tasks, "logits");
  check_shape(ctx, labels, rows, tasks, "labels");
  check_shape(ctx, weights, rows, tasks, "weights");
  check_shape(ctx, dlogits, rows, tasks, "dlogits");
  std::vector<double> loss(static_cast<size_t>(tasks), 0.0);
  dispatch_cpu(ctx, "loss", [&](auto zero) {
    using T = decltype(zero);
    for (int64_t r = 0; r < rows; ++r) {
      const T *xs = logits.row<T>(r), *ys = labels.row<T>(r), *ws = weights.row<T>(r);
      T* ds = dlogits.row<T>(r);
      for (int64_t t = 0; t < tasks; ++t) {
        const double x = static_cast<double>(xs[t]), y = static_cast<double>(ys[t]),
                     w = static_cast<double>(ws[t]);
        if (w == 0) {  // left out, whatever the logit
          ds[t] = T{0};
          continue;
        }
        loss[static_cast<size_t>(t)] += w * (std::max(x, 0.0) - x * y + std::log1p(std::exp(-std::abs(x))));
        ds[t] = static_cast<T>(w * (sigmoid_of(x) - y));
      }
    }
  });
  return loss;
}

void sigmoid(Context& ctx, const ConstView& logits, View p) {
  check_shape(ctx, logits, p.rows(), p.cols(), "logits");
  check_shape(ctx, p, p.rows(), p.cols(), "probabilities");
  dispatch_cpu(ctx, "sigmoid", [&](auto zero) {
    using T = decltype(zero);
    for (int64_t r = 0; r < p.rows(); ++r)
      for (int64_t t = 0; t < p.cols(); ++t)
        p.row<T>(r)[t] = static_cast<T>(sigmoid_of(static_cast<double>(logits.row<T>(r)[t])));
  });
}

}  // namespace lime
