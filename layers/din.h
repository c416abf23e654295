// DIN: an activation unit weighs every event of the history for every candidate (Zhou et al., "Deep interest
// network for click-through rate prediction", arXiv 1706.06978).
//
//   w_cj = MLP_a([e_j ; T_c ; e_j . T_c])                 one hidden layer of head_hidden, SiLU, no softmax
//   z_c  = 1/N sum_j w_cj e_j                             zero for an empty history
//
// The hidden layer is linear in the concatenation: its e part is computed once an event, its T part once a
// candidate. The rest works on pairs of a candidate and an event, as many at a time as stay in cache, or fill
// a device; a row a pair, so that each step is one product of matrices for all of them, and never N x C rows
// in memory. The mean instead of DIN's sum keeps histories of 10 and 10^5 events in one scale. Backward
// recomputes the hidden layer. O(N d hidden) a candidate.
#pragma once

#include <vector>

#include "layers/interaction.h"
#include "layers/linear.h"

namespace lime {

class Din final : public Interaction {
 public:
  Din(const RankingModelConfig&, ParameterStore&);
  double forward_flops(int64_t requests, int64_t history_tokens, int64_t candidates) const override;

 private:
  void do_forward(Context&, const InteractionInput&, View z) override;
  void do_backward(Context&, const InteractionInput&, const ConstView& dz, const InteractionGrad&) override;

  // Some candidates of a request with each of its events. Of pairs, row c n + j is candidate c with event j
  // of n.
  struct Pairs {
    int64_t first_event, events, first_candidate, candidates;
    std::vector<int64_t> offsets;  // of pairs, by candidate
    Jagged by_candidate;
    ConstView targets;       // pairs x d: T_c
    View products;           // pairs x d: e_j . T_c
    View hidden, activated;  // pairs x hidden, before and after SiLU
    View w;                  // pairs x 1
    int64_t rows() const { return events * candidates; }
    // Of T x c, or C x c: what belongs to the events, or to the candidates.
    template <typename V>
    V of_events(const V& x) const {
      return x.slice_rows(first_event, first_event + events);
    }
    template <typename V>
    V of_candidates(const V& x) const {
      return x.slice_rows(first_candidate, first_candidate + candidates);
    }
    // Pairs x 1 as candidates x events.
    View weights(const View& of_pairs) const;
  };
  // Calls f(pairs), with memory in the arena, for all of a batch; requests without history have none.
  template <typename F>
  void each_pairs(Context&, const InteractionInput&, F f) const;

  int64_t width_, hidden_width_;
  ParameterStore& store_;
  Linear hidden_;       // [e ; T] part, 2d x hidden
  Parameter& product_;  // [e . T] part, transposed: hidden x d
  Linear out_;
  View of_events_, of_targets_;  // the two linear parts: T x hidden, C x hidden (with bias)
};

}  // namespace lime
