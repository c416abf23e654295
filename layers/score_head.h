// Score head: logits_c = MLP([z_c ; T_c ; u]), one output a task; u is that of the candidate's request.
//
// The hidden layer is linear in the concatenation: the u part is computed once a request and repeated over
// its candidates, the z and T parts are two products into the same sum.
//   z, T   C x d        u   B x d_u        logits   C x tasks, of the parameters' type: bf16 would tie them
#pragma once

#include <span>
#include <string>

#include "layers/mlp.h"
#include "runtime/jagged.h"

namespace lime {

class ScoreHead {
 public:
  ScoreHead(ParameterStore&, const std::string& name, int64_t width, int64_t user_features, int64_t hidden,
            int64_t tasks);

  void forward(Context&, const ConstView& z, const ConstView& t, const ConstView& user,
               const Jagged& impressions, View logits);
  // All overwritten.
  void backward(Context&, const ConstView& dlogits, View dz, View dt, View duser);
  // Scores begin there, by task: the bias of the last layer.
  void start_at(Context& ctx, std::span<const double> logits) { mlp_.out_layer().set_bias(ctx, logits); }
  double forward_flops(int64_t requests, int64_t candidates) const;

  // The blocks of the hidden layer that z, T and u are multiplied with, each with the hidden bias, and the
  // layer behind it.
  LinearPart of_interaction() const { return mlp_.hidden_layer().rows(0, width_); }
  LinearPart of_candidate() const { return mlp_.hidden_layer().rows(width_, 2 * width_); }
  LinearPart of_user() const { return mlp_.hidden_layer().rows(2 * width_, 2 * width_ + user_features_); }
  LinearPart output() const { return mlp_.out_layer().all(); }

 private:
  int64_t width_, user_features_, tasks_;
  Mlp mlp_;
  ConstView z_, t_, user_;
  Jagged impressions_;
};

}  // namespace lime
