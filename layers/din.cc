#include "layers/din.h"

#include "runtime/primitives.h"

namespace lime {
namespace {

// One row, read again for every row of an r x c operand.
ConstView repeated(const ConstView& row, int64_t rows) {
  return {row.raw(), row.dtype(), row.device(), rows, row.cols(), 0};
}

}  // namespace

Din::Din(const RankingModelConfig& c, ParameterStore& store)
    : width_(c.width),
      hidden_width_(c.head_hidden),
      store_(store),
      hidden_(store, "interaction.unit.hidden", 2 * c.width, c.head_hidden),
      product_(store.add("interaction.unit.product", c.head_hidden, c.width, Init::unit, Role::weight)),
      out_(store, "interaction.unit.out", c.head_hidden, 1) {}

Din::Unit Din::unit(Context& ctx, const InteractionInput& in, int64_t request, int64_t candidate) const {
  const int64_t begin = in.history.begin(request), end = in.history.end(request), n = end - begin;
  Unit u{in.tokens.slice_rows(begin, end), in.candidates.slice_rows(candidate, candidate + 1),
         ctx.alloc(hidden_width_, width_), ctx.alloc(n, hidden_width_),
         ctx.alloc(n, hidden_width_),      ctx.alloc(n, 1)};
  multiply(ctx, product_.value, repeated(u.target, hidden_width_), u.weights);
  copy(ctx, of_events_.slice_rows(begin, end), u.hidden);
  gemm(ctx, Transpose::no, Transpose::yes, 1, u.events, u.weights, 1, u.hidden);
  bias_silu(ctx, of_targets_.slice_rows(candidate, candidate + 1), u.hidden, u.activated);
  out_.forward(ctx, u.activated, u.w);
  return u;
}

void Din::do_forward(Context& ctx, const InteractionInput& in, View z) {
  if (ctx.dtype() == DType::bf16)
    throw UserError("model din: found train.precision bf16, expected f32 or tf32");
  of_events_ = ctx.alloc(in.tokens.rows(), hidden_width_);
  of_targets_ = ctx.alloc(in.candidates.rows(), hidden_width_);
  hidden_.rows(0, width_).multiply(ctx, in.tokens, GradMode::overwrite, of_events_);
  hidden_.rows(width_, 2 * width_).multiply(ctx, in.candidates, GradMode::overwrite, of_targets_);
  hidden_.all().add_bias(ctx, of_targets_);
  fill(ctx, z, 0);
  for (int64_t b = 0; b < in.history.segments(); ++b) {
    if (in.history.length(b) == 0) continue;
    const double share = 1.0 / static_cast<double>(in.history.length(b));
    for (int64_t c = in.impressions.begin(b); c < in.impressions.end(b); ++c) {
      const Arena::Scope scope(ctx.arena());
      const Unit u = unit(ctx, in, b, c);
      gemm(ctx, Transpose::yes, Transpose::no, share, u.w, u.events, 0, z.slice_rows(c, c + 1));
    }
  }
}

void Din::do_backward(Context& ctx, const InteractionInput& in, const ConstView& dz,
                      const InteractionGrad& grad) {
  const Arena::Scope scope(ctx.arena());
  View dof_events = ctx.zeros(of_events_.rows(), hidden_width_);
  View dof_targets = ctx.zeros(of_targets_.rows(), hidden_width_);
  fill(ctx, grad.tokens, 0);
  for (int64_t b = 0; b < in.history.segments(); ++b) {
    const int64_t begin = in.history.begin(b), end = in.history.end(b), n = end - begin;
    if (n == 0) continue;
    const double share = 1.0 / static_cast<double>(n);
    const View devents = grad.tokens.slice_rows(begin, end);
    for (int64_t c = in.impressions.begin(b); c < in.impressions.end(b); ++c) {
      const Arena::Scope candidate_scope(ctx.arena());
      const Unit u = unit(ctx, in, b, c);
      const ConstView g = dz.slice_rows(c, c + 1);
      View dw = ctx.alloc(n, 1), dhidden = ctx.alloc(n, hidden_width_);
      gemm(ctx, Transpose::no, Transpose::yes, share, u.events, g, 0, dw);
      gemm(ctx, Transpose::no, Transpose::no, share, u.w, g, 1, devents);
      out_.backward(ctx, u.activated, dw, GradMode::overwrite, dhidden);
      silu_backward(ctx, u.hidden, dhidden, dhidden);
      add(ctx, dhidden, dof_events.slice_rows(begin, end));
      column_sum(ctx, dhidden, GradMode::overwrite, dof_targets.slice_rows(c, c + 1));
      gemm(ctx, Transpose::no, Transpose::no, 1, dhidden, u.weights, 1, devents);
      // Of W^T . T_c: to the parameter, and to the candidate.
      View dweights = ctx.alloc(hidden_width_, width_);
      gemm(ctx, Transpose::yes, Transpose::no, 1, dhidden, u.events, 0, dweights);
      multiply_add(ctx, dweights, repeated(u.target, hidden_width_), product_.grad);
      multiply(ctx, dweights, product_.value, dweights);
      column_sum(ctx, dweights, GradMode::accumulate, grad.candidates.slice_rows(c, c + 1));
    }
  }
  const LinearPart of_events = hidden_.rows(0, width_), of_targets = hidden_.rows(width_, 2 * width_);
  of_events.backward_weight(ctx, in.tokens, dof_events);
  of_events.backward_input(ctx, dof_events, GradMode::accumulate, grad.tokens);
  of_targets.backward_weight(ctx, in.candidates, dof_targets);
  of_targets.backward_input(ctx, dof_targets, GradMode::accumulate, grad.candidates);
  hidden_.all().backward_bias(ctx, dof_targets);
  out_.ready();
  store_.ready(product_);
  hidden_.ready();
}

double Din::forward_flops(int64_t requests, int64_t history_tokens, int64_t candidates) const {
  const auto t = static_cast<double>(history_tokens), c = static_cast<double>(candidates);
  const auto d = static_cast<double>(width_), h = static_cast<double>(hidden_width_);
  const double pairs = requests > 0 ? c * t / static_cast<double>(requests) : 0;
  return 2 * d * h * (t + c) + 2 * pairs * (d * h + h + d);
}

}  // namespace lime
