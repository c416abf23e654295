// Token encoder: e_j = x_j W_e + b_e + position[p_j], for each history event j.
//
//   x         T x features     gathered embeddings of the event, side by side
//   tokens    T x d
//   position  P x d            p_j counts from the most recent event (0) backwards, clamped to P - 1
//
// The most recent event is the last of its segment: p = min(N_b - 1 - (row - begin_b), P - 1); in a part of a
// history (history_parts.h), so many more as rows of it come later.
// Position gradients are summed by request, then by row: a fixed order.
#pragma once

#include <string>

#include "layers/history_parts.h"
#include "layers/linear.h"
#include "runtime/jagged.h"

namespace lime {

class TokenEncoder {
 public:
  // positions = 0: no position embedding.
  TokenEncoder(ParameterStore&, const std::string& name, int64_t features, int64_t width, int64_t positions);

  void forward(Context&, const ConstView& x, const Jagged& history, const HistoryParts&, View tokens);
  void backward(Context&, const ConstView& dtokens, View dx);
  double forward_flops(int64_t tokens) const;

 private:
  ParameterStore& store_;
  Linear linear_;
  Parameter* position_ = nullptr;
  ConstView x_;
  Jagged history_, later_;
};

// tokens[row] += table[position of row] for rows [first, first + tokens.rows()) of the history. `later`: of
// HistoryParts, or none.
void add_positions(Context&, const ConstView& table, const Jagged& history, const Jagged& later,
                   int64_t first, View tokens);
// dtable += sums of dtokens' rows by position, for the same rows.
void add_positions_backward(Context&, const ConstView& dtokens, const Jagged& history, const Jagged& later,
                            int64_t first, View dtable);

}  // namespace lime
