// History compression: at most l rows in place of a history of N, so that attention to them costs O(l) a
// candidate whatever N is. What softmax attention is combined with in the baselines of equal l.
//
//   tokens  T x d, B segments        rows  T' x d, B segments of at most l rows, none for an empty history
//
// Fixed order of summation: same inputs, same bits.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "layers/parameter.h"
#include "runtime/context.h"
#include "runtime/jagged.h"

namespace lime {

struct CompressedHistory {
  ConstView rows;
  Jagged segments;
};

class HistoryCompression {
 public:
  virtual ~HistoryCompression() = default;

  // Valid until the arena is reset or the next forward. `history` must stay valid until backward.
  virtual CompressedHistory forward(Context&, const ConstView& tokens, const Jagged& history) = 0;
  // dtokens is overwritten; after it all parameters' gradients are final.
  virtual void backward(Context&, const ConstView& drows, View dtokens) = 0;
  // Rows that stand for a history of `events` events.
  virtual double rows(double events) const = 0;
  // Of one such history, multiply-adds counted as two.
  virtual double forward_flops(double events) const = 0;
};

// The last l events as they are; the others get no gradient.
class LastEvents final : public HistoryCompression {
 public:
  explicit LastEvents(int64_t links) : links_(links) {}

  CompressedHistory forward(Context&, const ConstView& tokens, const Jagged& history) override;
  void backward(Context&, const ConstView& drows, View dtokens) override;
  double rows(double events) const override;
  double forward_flops(double) const override { return 0; }

 private:
  int64_t links_;
  // From forward to backward.
  Jagged history_, segments_;
  std::vector<int64_t> offsets_;
};

// A low-rank projection along time, after Linformer (Wang et al., arXiv 2006.04768), for histories of any
// length:
//
//   m_s    = mean of the tokens of segment s          n = min(N, S) segments of equal length, S = 8 l
//   row_i  = sum_s F[i, S - n + s] m_s                F: l x S, learned; its last column is the latest
//   segment
//
// Up to S events every event is its own segment and this is Linformer's projection with positions that count
// from the most recent event; beyond, neighbours share a weight. Keys and values, and all heads, share F (the
// paper's key-value and headwise sharing). O(N d + l^2 d) a history.
class LowRankProjection final : public HistoryCompression {
 public:
  // Registers NAME.weight.
  LowRankProjection(ParameterStore&, const std::string& name, int64_t links, int64_t width);

  CompressedHistory forward(Context&, const ConstView& tokens, const Jagged& history) override;
  void backward(Context&, const ConstView& drows, View dtokens) override;
  double rows(double events) const override;
  double forward_flops(double events) const override;

 private:
  template <typename F>
  void each_history(F&& f) const;

  ParameterStore& store_;
  int64_t links_, width_, segments_;
  Parameter& weight_;
  // From forward to backward.
  View means_;
  Jagged pooled_;                                    // tokens by segment
  std::vector<int64_t> offsets_;                     // its offsets
  std::vector<int64_t> row_offsets_, mean_offsets_;  // of rows and of means, by request
};

}  // namespace lime
