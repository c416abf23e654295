#include "layers/cached_scoring.h"

#include <array>

#include "layers/device_offsets.h"
#include "layers/dispatch.h"
#include "layers/lime.h"
#include "layers/ranking_model_parts.h"
#include "runtime/trace.h"

namespace lime {
namespace {

Lime& links_of(Interaction& interaction, const std::string& name) {
  if (auto* lime = dynamic_cast<Lime*>(&interaction)) return *lime;
  throw UserError(str("model ", name,
                      " has no links: its candidates meet the history itself, and nothing of them "
                      "can be cached; expected lime_mha or lime_xor"));
}

}  // namespace

bool CachedScoring::supports(const std::string& model) { return model == "lime_mha" || model == "lime_xor"; }

CachedScoring::CachedScoring(Context& ctx, RankingModel& model)
    : model_(*model.impl_),
      lime_(links_of(*model_.interaction, model_.config.name)),
      folded_(ctx.device(), ctx.dtype(), model_.config.width, hidden()),
      base_(ctx.device(), ctx.parameter_dtype(), 1, hidden()),
      out_(ctx.device(), ctx.parameter_dtype(), model_.config.tasks, hidden()) {
  LIME_CHECK(ctx.parameter_dtype() == DType::f32, "models are served in f32 or bf16, not in ",
             to_string(ctx.dtype()));
  const Arena::Scope scope(ctx.arena());
  const LinearPart z = lime_.attention().output(), z_share = model_.head.of_interaction();
  gemm(ctx, Transpose::no, Transpose::no, 1, z.weight, z_share.weight, 0, folded_);
  gemm(ctx, Transpose::no, Transpose::no, 1, in_row_type(ctx, z.bias), z_share.weight, 0, base_);
  add(ctx, z_share.bias, base_);
  const ConstView out = model_.head.output().weight;
  for (int64_t t = 0; t < out.cols(); ++t)
    copy(ctx, out.slice_cols(t, t + 1),
         View(out_.view().row<float>(t), DType::f32, ctx.device(), out.rows(), 1, 1));
}

CachedScoring::~CachedScoring() = default;

int64_t CachedScoring::weights() const { return lime_.attention().weight_columns(); }
int64_t CachedScoring::hidden() const { return model_.config.head_hidden; }

void CachedScoring::item_rows(Context& ctx, const ConstView& candidates, View rows) {
  const TraceRange range(ctx, "item_rows");
  const Arena::Scope scope(ctx.arena());
  check_shape(ctx, candidates, rows.rows(), model_.config.candidate_features, "candidates");
  check_shape(ctx, rows, candidates.rows(), columns(), "item rows");
  const View t = ctx.alloc(candidates.rows(), model_.config.width);
  model_.tower.forward(ctx, candidates, t);
  lime_.candidate_weights(ctx, t, rows.slice_cols(0, weights()));
  model_.head.of_candidate().multiply(ctx, t, GradMode::overwrite, rows.slice_cols(weights(), columns()));
}

RequestShare CachedScoring::request(Context& ctx, const ConstView& history, const ConstView& user) {
  const TraceRange range(ctx, "request_share");
  check_shape(ctx, history, history.rows(), model_.config.history_features, "history");
  check_shape(ctx, user, 1, model_.config.user_features, "user");
  const View mix = ctx.alloc_parameter(weights(), hidden()), base = ctx.alloc_parameter(1, hidden());
  const Arena::Scope scope(ctx.arena());
  const std::array<int64_t, 2> offsets = {0, history.rows()};
  const Jagged one = on_device(ctx, offsets);
  const View tokens = ctx.alloc(history.rows(), model_.config.width),
             lp = ctx.alloc(lime_.links(), model_.config.width);
  model_.tokens.forward(ctx, history, one, {}, tokens);
  lime_.personalise(ctx, tokens, user, one, {}, ctx.alloc(lp.rows(), lp.cols()), lp);
  lime_.attention().fold(ctx, lp, folded_.view(), mix);
  copy(ctx, base_.view(), base);
  model_.head.of_user().multiply(ctx, user, GradMode::accumulate, base);
  return {mix, base};
}

void CachedScoring::score(Context& ctx, const RequestShare& request, const ItemRows& rows,
                          std::span<const int32_t> chosen, View logits) const {
  LIME_CHECK(rows.weights == weights() && rows.hidden == hidden(), "rows of ", rows.weights, "+", rows.hidden,
             ", expected ", weights(), "+", hidden());
  score_rows(ctx, rows, chosen, request, {out_.view(), model_.head.output().bias}, logits);
}

}  // namespace lime
