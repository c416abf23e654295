// Attention layer: what surrounds softmax attention of any queries x over a history E, in LIME-MHA (links)
// and in MHA (candidates).
//
//   Q = LN_q(x) W_q,  [K|V] = LN_k(E) W_kv                no biases
//   x1 = x + attended W_o + b_o,  y = x1 + MLP(LN_f(x1))  hidden width 2d
//
// The caller computes `attended` from queries(), keys and values. Views from forward stay valid until the
// arena is reset.
#pragma once

#include <string>

#include "layers/layer_norm.h"
#include "layers/mlp.h"

namespace lime {

class AttentionLayer {
 public:
  AttentionLayer(ParameterStore&, const std::string& name, int64_t width);

  // Q of x (r x d); takes memory for the statistics of `events` history rows.
  void begin(Context&, const ConstView& x, int64_t events);
  // [K|V] (r x 2d) of the history rows from `first` on.
  void keys_values(Context&, const ConstView& tokens, int64_t first, View kv) const;
  // y (r x d) from attended (r x d), which must stay valid until backward.
  void finish(Context&, const ConstView& attended, View y);

  // dx: gradient of y in, of x1 out. dattended is overwritten.
  void finish_backward(Context&, View dx, View dattended);
  // dtokens of the history rows from `first` on is overwritten.
  void keys_values_backward(Context&, const ConstView& tokens, int64_t first, const ConstView& dkv,
                            View dtokens) const;
  // dx += the gradient by way of Q; after it all parameters' gradients are final.
  void queries_backward(Context&, const ConstView& dq, View dx) const;

  const View& queries() const { return queries_; }
  // Of all but attention.
  double forward_flops(double rows, double history_tokens) const;

 private:
  int64_t width_;
  LayerNorm norm_q_, norm_k_;
  Linear q_, kv_, out_;
  LayerNorm norm_f_;
  Mlp feed_forward_;
  // From forward to backward.
  ConstView x_, attended_;
  View normed_q_, queries_, middle_;
  LayerNormStats stats_q_, stats_k_, stats_f_;
};

}  // namespace lime
