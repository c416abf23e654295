#include "layers/ranking_model.h"

#include "layers/dispatch.h"
#include "layers/ranking_model_parts.h"
#include "runtime/trace.h"

namespace lime {
namespace {

void at_least(const char* key, int64_t value, int64_t least) {
  if (value < least) throw UserError(str("model ", key, ": found ", value, ", expected at least ", least));
}

const RankingModelConfig& checked(const RankingModelConfig& c) {
  at_least("history_features", c.history_features, 1);
  at_least("candidate_features", c.candidate_features, 1);
  at_least("user_features", c.user_features, 0);
  at_least("width", c.width, 1);
  at_least("heads", c.heads, 1);
  at_least("links", c.links, 1);
  at_least("blocks", c.blocks, 1);
  at_least("head_hidden", c.head_hidden, 1);
  at_least("max_positions", c.max_positions, 0);
  at_least("tasks", c.tasks, 1);
  if (c.width % c.heads != 0)
    throw UserError(str("model width: found ", c.width, ", expected a multiple of heads (", c.heads, ")"));
  return c;
}

}  // namespace

RankingModel::Impl::Impl(const RankingModelConfig& c, ParameterStore& parameters)
    : config(checked(c)),
      store(parameters),
      tokens(store, "token", c.history_features, c.width, c.max_positions),
      tower(store, "tower", c.candidate_features, c.width, c.width),
      interaction(make_interaction(c, store)),
      head(store, "head", c.width, c.user_features, c.head_hidden, c.tasks) {}

RankingModel::Impl::History RankingModel::Impl::alloc_history(Context& ctx) const {
  const int64_t in_front = interaction->rows_in_front(requests);
  const View all = ctx.alloc(in_front + history_rows, config.width);
  return {all.slice_rows(0, in_front), all.slice_rows(in_front, all.rows())};
}

bool cuts_histories(const std::string& name) { return name == "lime_xor" || name == "lime_mha"; }

RankingModel::RankingModel(const RankingModelConfig& config, ParameterStore& store)
    : impl_(std::make_unique<Impl>(config, store)) {}
RankingModel::~RankingModel() = default;

const RankingModelConfig& RankingModel::config() const { return impl_->config; }

void RankingModel::forward(Context& ctx, const ModelInput& input, View logits) {
  const TraceRange range(ctx, "forward");
  const RankingModelConfig& c = impl_->config;
  const int64_t requests = input.history_offsets.segments();
  const int64_t history = input.history_offsets.rows(), candidates = input.candidate_offsets.rows();
  LIME_CHECK(input.candidate_offsets.segments() == requests, "requests ", requests, " and ",
             input.candidate_offsets.segments());
  LIME_CHECK(!input.parts.ranks || cuts_histories(c.name), "parts of histories for ", c.name);
  check_shape(ctx, input.history, history, c.history_features, "history");
  check_shape(ctx, input.candidates, candidates, c.candidate_features, "candidates");
  check_shape(ctx, input.user, requests, c.user_features, "user");
  check_parameter(ctx, logits, candidates, c.tasks, "logits");
  impl_->requests = requests, impl_->history_rows = history, impl_->candidate_rows = candidates;

  const auto [in_front, tokens] = impl_->alloc_history(ctx);
  View t = ctx.alloc(candidates, c.width), z = ctx.alloc(candidates, c.width);
  impl_->tokens.forward(ctx, input.history, input.history_offsets, input.parts, tokens);
  impl_->tower.forward(ctx, input.candidates, t);
  impl_->interaction->forward(
      ctx, {tokens, t, input.user, input.history_offsets, input.parts, input.candidate_offsets, in_front}, z);
  impl_->head.forward(ctx, z, t, input.user, input.candidate_offsets, logits);
}

void RankingModel::backward(Context& ctx, const ConstView& dlogits, const ModelInputGrad& grad) {
  const TraceRange range(ctx, "backward");
  const Arena::Scope scope(ctx.arena());
  const RankingModelConfig& c = impl_->config;
  check_parameter(ctx, dlogits, impl_->candidate_rows, c.tasks, "gradient of logits");
  check_shape(ctx, grad.history, impl_->history_rows, c.history_features, "gradient of history");
  check_shape(ctx, grad.candidates, impl_->candidate_rows, c.candidate_features, "gradient of candidates");
  check_shape(ctx, grad.user, impl_->requests, c.user_features, "gradient of user");
  fill(ctx, impl_->store.grads(), 0);  // layers accumulate

  View dz = ctx.alloc(dlogits.rows(), c.width), dt = ctx.alloc(dlogits.rows(), c.width);
  const auto [in_front, dtokens] = impl_->alloc_history(ctx);
  impl_->head.backward(ctx, dlogits, dz, dt, grad.user);
  impl_->interaction->backward(ctx, dz, {dtokens, dt, grad.user, in_front});
  impl_->tower.backward(ctx, dt, GradMode::overwrite, grad.candidates);
  impl_->tower.ready();
  impl_->tokens.backward(ctx, dtokens, grad.history);
}

void RankingModel::start_at(Context& ctx, std::span<const double> logits) {
  impl_->head.start_at(ctx, logits);
}

double RankingModel::training_flops(int64_t requests, int64_t history_tokens, int64_t candidates) const {
  // Backward computes two products, of inputs and of weights, for each of forward; recomputation is not
  // counted.
  return 3 * (impl_->tokens.forward_flops(history_tokens) + impl_->tower.forward_flops(candidates) +
              impl_->interaction->forward_flops(requests, history_tokens, candidates) +
              impl_->head.forward_flops(requests, candidates));
}

}  // namespace lime
