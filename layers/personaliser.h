// Personaliser: L^P from the contextualised links L^C and the history tokens. LIME has two: XOR blocks, or
// one multi-head attention.
#pragma once

#include "layers/history_parts.h"
#include "runtime/context.h"
#include "runtime/jagged.h"

namespace lime {

class Personaliser {
 public:
  virtual ~Personaliser() = default;

  // lc, lp: B*links x d; tokens: T x d. Inputs must stay valid until backward.
  virtual void forward(Context&, const ConstView& lc, const ConstView& tokens, const Jagged& history,
                       const HistoryParts&, View lp) = 0;
  // dlinks: gradient of lp in, of lc out. dtokens: overwritten.
  virtual void backward(Context&, View dlinks, View dtokens) = 0;
  virtual double forward_flops(int64_t requests, int64_t history_tokens) const = 0;
};

}  // namespace lime
