// AdamW: one pass over values, gradient and moments, 16 bytes of each a thread.
#include "layers/cuda_kernels.h"
#include "runtime/cuda_kernel.h"
#include "runtime/cuda_kernel_math.h"
#include "runtime/cuda_kernel_rows.h"

namespace lime::cuda {

namespace {

template <typename T>
struct Update {
  T beta1, beta2, eps, correction1, correction2, rate, shrink;
  const double* grad_scale;
  const T *decays, *grad;
  T *m, *v, *w;
  template <int N>
  __device__ void at(int64_t, int64_t c) const {
    const double scale = *grad_scale;
    if (!(scale - scale == 0)) return;
    T g[N], first[N], second[N], value[N];
    load(grad + c, g);
    load(m + c, first);
    load(v + c, second);
    load(w + c, value);
    const T kept = decays[c / ParameterStore::alignment] != 0 ? shrink : T(1);
    for (int i = 0; i < N; ++i) {
      g[i] *= static_cast<T>(scale);
      first[i] = beta1 * first[i] + (1 - beta1) * g[i];
      second[i] = beta2 * second[i] + (1 - beta2) * g[i] * g[i];
      value[i] =
          kept * value[i] - rate * (correction1 * first[i]) / (square_root(correction2 * second[i]) + eps);
    }
    store(first, m + c);
    store(second, v + c);
    store(value, w + c);
  }
};

}  // namespace

void adamw(Context& ctx, const AdamWStep& step, const ConstView& decays, const ConstView& grad, View m,
           View v, View w) {
  with_parameter_type(w.dtype(), [&]<typename T>(T) {
    const auto as = [](double x) { return static_cast<T>(x); };
    const Update<T> update{as(step.config.beta1),
                           as(step.config.beta2),
                           as(step.config.eps),
                           as(step.correction1),
                           as(step.correction2),
                           as(step.learning_rate),
                           as(1 - step.learning_rate * step.config.weight_decay),
                           step.grad_scale.data<double>(),
                           decays.data<T>(),
                           grad.data<T>(),
                           m.data<T>(),
                           v.data<T>(),
                           w.data<T>()};
    each_pack<T>(ctx, "adamw", update, {w, grad, m, v});
  });
}

}  // namespace lime::cuda
