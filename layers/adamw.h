// AdamW over the flat parameters (Loshchilov & Hutter, "Decoupled weight decay regularization", 2019), with
// bias correction. Values, gradients and moments are of the parameters' type, on the context's device.
#pragma once

#include <cstdint>

#include "layers/parameter.h"

namespace lime {

struct AdamWConfig {
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0.01;
};

// One update: with g = grad_scale * grad
//   m = beta1 m + (1 - beta1) g,  v = beta2 v + (1 - beta2) g^2,
//   w = w - learning_rate * (correction1 m / (sqrt(correction2 v) + eps) + weight_decay w where it applies).
struct AdamWStep {
  AdamWConfig config;
  double learning_rate, correction1, correction2;
  ConstView grad_scale;
};

class AdamW {
 public:
  AdamW(Context&, const ParameterStore&, AdamWConfig);
  // `step` counts from 1. grad_scale (1 x 1, f64) is on the context's device; one that is not finite changes
  // nothing.
  void update(Context&, ParameterStore&, const ConstView& grad /*1 x size*/, double learning_rate,
              const ConstView& grad_scale, int64_t step);
  View first_moment() const { return m_; }  // 1 x size: checkpointed
  View second_moment() const { return v_; }

 private:
  AdamWConfig config_;
  Tensor m_, v_;
  Tensor decays_;  // 1 x size / ParameterStore::alignment: 1 where weight decay applies, else 0
};

}  // namespace lime
