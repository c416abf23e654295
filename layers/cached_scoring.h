// CachedScoring: the forward pass of a LIME model with what an item alone decides taken out of it, for
// serving.
//
// Candidates meet a request only through their weights for its links, and the score head's hidden layer is
// linear, so that
//
//   item     [P_c ; S_c]      S_c = T_c W_1t                                        item_rows.h
//   request  mix[(h,i),:]   = (L^P W_v)_{i,h} (W_z W_1z)_h      base = u W_1u + b_1 + b_z W_1z
//   logits_c = SiLU(P_c mix + S_c + base) W_2 + b_2
//
// is what RankingModel::forward computes, up to the order of sums: W_z W_1z is multiplied out once, `mix`
// once a request, and a candidate costs its row and one product of heads*links x hidden. The layers are the
// model's own: one object, and one thread, at a time for each model (ParameterStore::share gives a model a
// thread).
#pragma once

#include <span>
#include <string>

#include "layers/item_rows.h"
#include "layers/ranking_model.h"

namespace lime {

class Lime;

class CachedScoring {
 public:
  // Whether a model of this name has links: lime_mha, lime_xor.
  static bool supports(const std::string& model);

  // For the weights that the model has now; both must outlive the object. Throws UserError naming a model
  // without links. Takes memory of its own; contexts only have to be alive during calls, and are like the
  // first: of its device, and of f32 or bf16.
  CachedScoring(Context&, RankingModel&);
  ~CachedScoring();

  int64_t weights() const;  // heads * links
  int64_t hidden() const;   // of the score head
  int64_t columns() const { return weights() + hidden(); }

  // candidates: C x candidate_features; rows: C x columns(), of the context's type.
  void item_rows(Context&, const ConstView& candidates, View rows);
  // history: T x history_features, oldest event first, T = 0 is legal; user: 1 x user_features. In the
  // context's arena.
  RequestShare request(Context&, const ConstView& history, const ConstView& user);
  // rows: where the context's device reads them. logits: chosen x tasks.
  void score(Context&, const RequestShare&, const ItemRows&, std::span<const int32_t> chosen,
             View logits) const;

 private:
  RankingModel::Impl& model_;
  Lime& lime_;
  Tensor folded_;  // d x hidden: W_z W_1z, in the type of rows
  Tensor base_;    // 1 x hidden: b_1 + b_z W_1z, in that of parameters
  Tensor out_;     // tasks x hidden: W_2 transposed, likewise
};

}  // namespace lime
