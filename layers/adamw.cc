#include "layers/adamw.h"

#include <cmath>

#include "layers/cuda_kernels.h"
#include "layers/dispatch.h"
#include "runtime/primitives.h"
#include "runtime/trace.h"

namespace lime {
namespace {

template <typename T>
void update_on_host(const AdamWStep& step, const ParameterStore& store, const ConstView& grad, const View& m_,
                    const View& v_) {
  const auto as = [](double x) { return static_cast<T>(x); };
  const T b1 = as(step.config.beta1), b2 = as(step.config.beta2), eps = as(step.config.eps);
  const T c1 = as(step.correction1), c2 = as(step.correction2);
  const T rate = as(step.learning_rate);
  const double grad_scale = *step.grad_scale.data<double>();
  if (!std::isfinite(grad_scale)) return;
  const T gs = as(grad_scale);
  for (const auto& p : store.all()) {
    const int64_t n = p.rows * p.cols;
    const T shrink = p.decays() ? as(1 - step.learning_rate * step.config.weight_decay) : T{1};
    const T* __restrict g = grad.data<T>() + p.offset;
    T* __restrict m = m_.data<T>() + p.offset;
    T* __restrict v = v_.data<T>() + p.offset;
    T* __restrict w = p.master.data<T>();
    for (int64_t i = 0; i < n; ++i) {
      const T gi = gs * g[i];
      m[i] = b1 * m[i] + (1 - b1) * gi;
      v[i] = b2 * v[i] + (1 - b2) * gi * gi;
      w[i] = shrink * w[i] - rate * (c1 * m[i]) / (std::sqrt(c2 * v[i]) + eps);
    }
  }
}

}  // namespace

AdamW::AdamW(Context& ctx, const ParameterStore& store, AdamWConfig config)
    : config_(config),
      m_(ctx.device(), ctx.parameter_dtype(), 1, store.size()),
      v_(ctx.device(), ctx.parameter_dtype(), 1, store.size()),
      decays_(ctx.device(), ctx.parameter_dtype(), 1, store.size() / ParameterStore::alignment) {
  for (const auto& p : store.all()) {
    const int64_t begin = p.offset / ParameterStore::alignment;
    const int64_t blocks = (p.rows * p.cols + ParameterStore::alignment - 1) / ParameterStore::alignment;
    if (p.decays()) fill(ctx, decays_.view().slice_cols(begin, begin + blocks), 1);
  }
}

void AdamW::update(Context& ctx, ParameterStore& store, const ConstView& grad, double learning_rate,
                   const ConstView& grad_scale, int64_t step) {
  const TraceRange range(ctx, "adamw");
  LIME_CHECK(step >= 1, "AdamW step ", step);
  check_parameter(ctx, grad, 1, store.size(), "gradient");
  check_parameter(ctx, m_.view(), 1, store.size(), "first moment");
  check_view(ctx, grad_scale, 1, 1, DType::f64, "gradient scale");
  const auto correction = [&](double beta) { return 1 / (1 - std::pow(beta, static_cast<double>(step))); };
  const AdamWStep numbers{config_, learning_rate, correction(config_.beta1), correction(config_.beta2),
                          grad_scale};
  dispatch(
      ctx, "adamw", [&]<typename T>(T) { update_on_host<T>(numbers, store, grad, m_, v_); },
      [&] { cuda::adamw(ctx, numbers, decays_.view(), grad, m_, v_, store.values()); });
  store.refresh(ctx);
}

}  // namespace lime
