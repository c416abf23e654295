// Decoupled attention of candidates to links: weights from the raw, user-independent links, values from the
// personalised ones.
//
//   P[c,h,:] = phi((T_c W_tq)_h (L W_lk)_h^T / sqrt(d_h))      phi: softmax over links, or SiLU
//   z_c      = concat_h(sum_i P[c,h,i] (L^P_b W_v)_{h,i}) W_z + b_z      b: the candidate's request
//
//   T     C x d            L     links x d          L^P   B*links x d          P   C x heads*links
//
// P is a function of the item and the weights alone, which is what allows it to be cached when serving.
#pragma once

#include <string>

#include "layers/linear.h"
#include "layers/ranking_model.h"

namespace lime {

class DecoupledAttention {
 public:
  DecoupledAttention(ParameterStore&, const std::string& name, int64_t width, int64_t heads, int64_t links,
                     CandidateAttention);

  // p: C x heads*links. Kept for backward.
  void weights(Context&, const ConstView& t, const ConstView& l, View p);
  // weights() and then z (C x d).
  void forward(Context&, const ConstView& t, const ConstView& l, const ConstView& lp,
               const Jagged& impressions, View z);
  // dt and dl are accumulated, dlp is overwritten.
  void backward(Context&, const ConstView& dz, View dt, View dl, View dlp);
  double forward_flops(int64_t requests, int64_t candidates) const;

  // Where z is only ever multiplied with one matrix w (d x n), W_z w and b_z w are known ahead ...
  LinearPart output() const { return z_.all(); }
  // ... and a request's links fold into zw = W_z w (d x n), so that z_c w = P_c mix + b_z w:
  //   mix[(h,i),:] = (L^P W_v)_{i,h} zw_h            lp: links x d, of one request; mix: heads*links x n
  void fold(Context&, const ConstView& lp, const ConstView& zw, View mix) const;
  int64_t weight_columns() const { return heads_ * links_; }

 private:
  ConstView head(const ConstView& x, int64_t h) const {
    return x.slice_cols(h * head_width_, (h + 1) * head_width_);
  }
  View head(const View& x, int64_t h) const { return x.slice_cols(h * head_width_, (h + 1) * head_width_); }
  View weights_of(const View& p, int64_t h) const { return p.slice_cols(h * links_, (h + 1) * links_); }
  // Where phi is softmax: calls f(rows), whose rows(v) of a view like p are those that a softmax is of. Once
  // for all heads where they lie side by side, else head by head. p and v have the same strides.
  template <typename F>
  void each_softmax(const View& p, F f) const;

  int64_t width_, heads_, links_, head_width_;
  CandidateAttention phi_;
  Linear tq_, lk_, v_, z_;
  // From forward to backward.
  ConstView t_, l_, lp_;
  Jagged impressions_;
  View q_, k_, values_, scores_, p_, mixed_;
};

}  // namespace lime
