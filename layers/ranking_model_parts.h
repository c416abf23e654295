// The layers that a ranking model is made of. Internal to layers/: for what runs them in another way than
// training does.
#pragma once

#include <memory>

#include "layers/interaction.h"
#include "layers/mlp.h"
#include "layers/ranking_model.h"
#include "layers/score_head.h"
#include "layers/token_encoder.h"

namespace lime {

struct RankingModel::Impl {
  Impl(const RankingModelConfig&, ParameterStore&);

  RankingModelConfig config;
  ParameterStore& store;
  TokenEncoder tokens;
  Mlp tower;
  std::unique_ptr<Interaction> interaction;
  ScoreHead head;
  int64_t requests = 0, history_rows = 0, candidate_rows = 0;  // of the last forward

  // Memory for the rows of the tokens, and of what the interaction wants to have right in front of them.
  struct History {
    View in_front, tokens;
  };
  History alloc_history(Context&) const;
};

}  // namespace lime
