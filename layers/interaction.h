// Interaction: what a user's history says about each candidate. The part in which the models differ.
#pragma once

#include <memory>

#include "layers/history_parts.h"
#include "layers/ranking_model.h"

namespace lime {

struct InteractionInput {
  ConstView tokens;      // T x d
  ConstView candidates;  // C x d
  ConstView user;        // B x d_u
  Jagged history;        // B segments, T rows
  HistoryParts parts;    // other than whole: of lime_xor and lime_mha alone
  Jagged impressions;    // B segments, C rows
  View in_front;         // rows_in_front x d: memory for what goes in front of the tokens, or empty
};
struct InteractionGrad {
  View tokens;      // overwritten
  View candidates;  // accumulated
  View user;        // accumulated
  View in_front;    // memory for the gradient of those, or empty
};

class Interaction {
 public:
  virtual ~Interaction() = default;

  // z: C x d. Views of the input must stay valid until backward.
  void forward(Context&, const InteractionInput&, View z);
  // After forward, once. Parameters' gradients are accumulated and announced as ready.
  void backward(Context&, const ConstView& dz, const InteractionGrad&);
  // Multiply-adds counted as two.
  virtual double forward_flops(int64_t requests, int64_t history_tokens, int64_t candidates) const = 0;
  // How many rows of its own it would have right in front of the tokens, to go over both as one matrix.
  virtual int64_t rows_in_front(int64_t /*requests*/) const { return 0; }

 protected:
  virtual void do_forward(Context&, const InteractionInput&, View z) = 0;
  virtual void do_backward(Context&, const InteractionInput&, const ConstView& dz,
                           const InteractionGrad&) = 0;

 private:
  InteractionInput input_;
};

// By name: two_tower, din, mha, truncated_mha, linformer, hstu, lime_mha, lime_xor. Throws UserError on
// another.
std::unique_ptr<Interaction> make_interaction(const RankingModelConfig&, ParameterStore&);

}  // namespace lime
