#include "layers/interaction.h"

#include "layers/din.h"
#include "layers/dispatch.h"
#include "layers/hstu.h"
#include "layers/lime.h"
#include "layers/mha.h"
#include "layers/two_tower.h"
#include "runtime/trace.h"

namespace lime {

void Interaction::forward(Context& ctx, const InteractionInput& input, View z) {
  const TraceRange range(ctx, "interaction");
  check_shape(ctx, input.tokens, input.history.rows(), z.cols(), "tokens");
  check_shape(ctx, input.candidates, input.impressions.rows(), z.cols(), "candidates");
  check_shape(ctx, input.user, input.history.segments(), input.user.cols(), "user");
  check_shape(ctx, z, input.impressions.rows(), z.cols(), "interaction output");
  LIME_CHECK(input.history.segments() == input.impressions.segments(), "requests");
  input_ = input;
  do_forward(ctx, input, z);
}

void Interaction::backward(Context& ctx, const ConstView& dz, const InteractionGrad& grad) {
  const TraceRange range(ctx, "interaction_backward");
  check_shape(ctx, dz, input_.candidates.rows(), input_.candidates.cols(), "gradient of interaction output");
  check_shape(ctx, grad.tokens, input_.tokens.rows(), input_.tokens.cols(), "gradient of tokens");
  check_shape(ctx, grad.candidates, input_.candidates.rows(), input_.candidates.cols(),
              "gradient of candidates");
  check_shape(ctx, grad.user, input_.user.rows(), input_.user.cols(), "gradient of user");
  do_backward(ctx, input_, dz, grad);
}

std::unique_ptr<Interaction> make_interaction(const RankingModelConfig& config, ParameterStore& store) {
  if (config.name == "two_tower") return std::make_unique<TwoTower>(config, store);
  if (config.name == "lime_mha" || config.name == "lime_xor") return std::make_unique<Lime>(config, store);
  if (config.name == "din") return std::make_unique<Din>(config, store);
  if (config.name == "mha" || config.name == "truncated_mha" || config.name == "linformer")
    return std::make_unique<Mha>(config, store);
  if (config.name == "hstu") return std::make_unique<Hstu>(config, store);
  throw UserError(
      str("model name: found '", config.name,
          "', expected two_tower, din, mha, truncated_mha, linformer, hstu, lime_mha or lime_xor"));
}

}  // namespace lime
