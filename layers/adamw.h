// AdamW over the flat parameters (Loshchilov & Hutter, "Decoupled weight decay regularization", 2019), with
// bias correction.
#pragma once

#include <cstdint>

#include "layers/parameter.h"

namespace lime {

struct AdamWConfig {
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0.01;
};

class AdamW {
 public:
  AdamW(Context&, const ParameterStore&, AdamWConfig);
  // values -= learning_rate * (m^ / (sqrt(v^) + eps) + weight_decay * value where it applies), with
  // g = grad_scale * grad. `step` counts from 1.
  void update(Context&, ParameterStore&, const ConstView& grad /*1 x size*/, double learning_rate,
              double grad_scale, int64_t step);
  View first_moment() const { return m_; }  // 1 x size: checkpointed
  View second_moment() const { return v_; }

 private:
  AdamWConfig config_;
  Tensor m_memory_, v_memory_;
  View m_, v_;
};

}  // namespace lime
