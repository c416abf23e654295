#include "layers/layer_norm.h"

#include "layers/dispatch.h"
#include "layers/fused.h"

namespace lime {

LayerNorm::LayerNorm(ParameterStore& store, const std::string& name, int64_t width)
    : store_(store),
      gain_(store.add(name + ".gain", 1, width, Init::ones, Role::vector)),
      bias_(store.add(name + ".bias", 1, width, Init::zeros, Role::vector)) {}

void LayerNorm::forward(Context& ctx, const ConstView& x, View y, const LayerNormStats& stats) const {
  check_shape(ctx, x, y.rows(), gain_.cols, "layer norm input");
  layer_norm(ctx, x, gain_.value, bias_.value, eps, y, stats.mean, stats.rstd);
}

void LayerNorm::recompute(Context& ctx, const ConstView& x, const LayerNormStats& stats, View y) const {
  normalise(ctx, gain_.value, bias_.value, stats.mean, stats.rstd, x, y);
}

void LayerNorm::backward(Context& ctx, const ConstView& x, const LayerNormStats& stats, const ConstView& dy,
                         GradMode input, View dx) const {
  check_shape(ctx, dy, x.rows(), gain_.cols, "gradient of layer norm output");
  if (x.rows() == 0) return;
  layer_norm_backward(ctx, x, gain_.value, stats.mean, stats.rstd, dy, input, dx, GradMode::accumulate,
                      gain_.grad, bias_.grad);
}

void LayerNorm::ready() const {
  store_.ready(bias_);
  store_.ready(gain_);
}

}  // namespace lime
