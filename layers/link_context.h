// Contextualised links: L^C_i = L_i + MLP_c([L_i ; u]), for every request.
//
//   L     links x d        learned, shared by all requests
//   u     B x d_u
//   L^C   B*links x d
//
// The hidden layer is linear in the concatenation: its L part is computed once, its u part once a request,
// and their sum broadcast; [L_i ; u] is never built.
#pragma once

#include <string>

#include "layers/mlp.h"

namespace lime {

class LinkContext {
 public:
  LinkContext(ParameterStore&, const std::string& name, int64_t links, int64_t width, int64_t user_features);

  void forward(Context&, const ConstView& l, const ConstView& user, View lc);
  // dl and duser are accumulated.
  void backward(Context&, const ConstView& dlc, View dl, View duser);
  double forward_flops(int64_t requests) const;

 private:
  int64_t links_, width_, user_features_;
  Mlp mlp_;
  ConstView l_, user_;
};

}  // namespace lime
