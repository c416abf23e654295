#include "layers/adamw.h"

#include <cmath>

#include "layers/dispatch.h"
#include "runtime/trace.h"

namespace lime {

AdamW::AdamW(Context& ctx, const ParameterStore& store, AdamWConfig config)
    : config_(config),
      m_memory_(ctx.device(), ctx.dtype(), 1, store.size()),
      v_memory_(ctx.device(), ctx.dtype(), 1, store.size()),
      m_(m_memory_),
      v_(v_memory_) {}

void AdamW::update(Context& ctx, ParameterStore& store, const ConstView& grad, double learning_rate,
                   double grad_scale, int64_t step) {
  const TraceRange range(ctx, "adamw");
  LIME_CHECK(step >= 1, "AdamW step ", step);
  check_shape(ctx, grad, 1, store.size(), "gradient");
  check_shape(ctx, m_, 1, store.size(), "first moment");
  dispatch_cpu(ctx, "adamw", [&](auto zero) {
    using T = decltype(zero);
    const T b1 = static_cast<T>(config_.beta1), b2 = static_cast<T>(config_.beta2);
    const T c1 = static_cast<T>(1 / (1 - std::pow(config_.beta1, static_cast<double>(step))));
    const T c2 = static_cast<T>(1 / (1 - std::pow(config_.beta2, static_cast<double>(step))));
    const T eps = static_cast<T>(config_.eps), rate = static_cast<T>(learning_rate);
    const T gs = static_cast<T>(grad_scale);
    for (const auto& p : store.all()) {
      const int64_t n = p.rows * p.cols;
      const T shrink = p.decay ? static_cast<T>(1 - learning_rate * config_.weight_decay) : T{1};
      const T* __restrict g = grad.data<T>() + p.offset;
      T* __restrict m = m_.data<T>() + p.offset;
      T* __restrict v = v_.data<T>() + p.offset;
      T* __restrict w = store.values().data<T>() + p.offset;
      for (int64_t i = 0; i < n; ++i) {
        const T gi = gs * g[i];
        m[i] = b1 * m[i] + (1 - b1) * gi;
        v[i] = b2 * v[i] + (1 - b2) * gi * gi;
        w[i] = shrink * w[i] - rate * (c1 * m[i]) / (std::sqrt(c2 * v[i]) + eps);
      }
    }
  });
}

}  // namespace lime
