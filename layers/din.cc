#include "layers/din.h"

#include <algorithm>

#include "layers/device_offsets.h"
#include "runtime/primitives.h"

namespace lime {
namespace {

constexpr int64_t most_pairs = int64_t{1} << 18;  // at a time, on a device: 64 MiB of 128 columns in bf16

// The rows of a contiguous matrix as one.
template <typename V>
V one_row(const V& x) {
  LIME_CHECK(x.contiguous(), "rows ", x.stride(), " apart, expected ", x.cols());
  return {x.raw(), x.dtype(), x.device(), 1, x.size(), x.size()};
}
// A contiguous matrix in rows of another length.
template <typename V>
V reshaped(const V& x, int64_t rows) {
  const V flat = one_row(x);
  return {flat.raw(), flat.dtype(), flat.device(), rows, flat.cols() / rows, flat.cols() / rows};
}
// All of a contiguous matrix as a row that is read again for every row of an r x c operand.
ConstView repeated(const ConstView& x, int64_t rows) {
  const ConstView flat = one_row(x);
  return {flat.raw(), flat.dtype(), flat.device(), rows, flat.cols(), 0};
}

}  // namespace

Din::Din(const RankingModelConfig& c, ParameterStore& store)
    : width_(c.width),
      hidden_width_(c.head_hidden),
      store_(store),
      hidden_(store, "interaction.unit.hidden", 2 * c.width, c.head_hidden),
      product_(store.add("interaction.unit.product", c.head_hidden, c.width, Init::unit, Role::weight)),
      out_(store, "interaction.unit.out", c.head_hidden, 1) {}

View Din::Pairs::weights(const View& of_pairs) const { return reshaped(of_pairs, candidates); }

template <typename F>
void Din::each_pairs(Context& ctx, const InteractionInput& in, F f) const {
  const int64_t most = std::min(ctx.tile_rows(width_ + hidden_width_), most_pairs);
  for (int64_t b = 0; b < in.history.segments(); ++b) {
    const int64_t n = in.history.length(b), end = in.impressions.end(b);
    if (n == 0) continue;
    const int64_t step = std::max<int64_t>(1, most / n);
    for (int64_t first = in.impressions.begin(b); first < end; first += step) {
      const Arena::Scope scope(ctx.arena());
      Pairs p{in.history.begin(b), n, first, std::min(step, end - first), {}, {}, {}, {}, {}, {}, {}};
      for (int64_t c = 0; c <= p.candidates; ++c) p.offsets.push_back(c * n);
      p.by_candidate = on_device(ctx, p.offsets);
      p.products = ctx.alloc(p.rows(), width_);
      p.hidden = ctx.alloc(p.rows(), hidden_width_), p.activated = ctx.alloc(p.rows(), hidden_width_);
      p.w = ctx.alloc(p.rows(), 1);
      // A row a pair of what belongs to the candidates, in `memory` where there are several.
      const auto by_pair = [&](const ConstView& x, const View& memory) {
        if (p.candidates == 1) return repeated(p.of_candidates(x), n);
        repeat_rows(ctx, p.of_candidates(x), p.by_candidate, memory);
        return ConstView(memory);
      };
      p.targets = by_pair(in.candidates, p.candidates == 1 ? View() : ctx.alloc(p.rows(), width_));
      if (p.candidates == 1) {  // of a long history, on the CPU
        multiply(ctx, p.of_events(in.tokens), p.targets, p.products);
      } else {
        multiply(ctx, repeated(p.of_events(in.tokens), p.candidates), reshaped(p.targets, p.candidates),
                 reshaped(p.products, p.candidates));
      }
      copy(ctx, repeated(p.of_events(of_events_), p.candidates), reshaped(p.hidden, p.candidates));
      add(ctx, by_pair(of_targets_, p.activated), p.hidden);
      gemm(ctx, Transpose::no, Transpose::yes, 1, p.products, product_.value, 1, p.hidden);
      silu(ctx, p.hidden, p.activated);
      out_.forward(ctx, p.activated, p.w);
      f(p);
    }
  }
}

void Din::do_forward(Context& ctx, const InteractionInput& in, View z) {
  of_events_ = ctx.alloc(in.tokens.rows(), hidden_width_);
  of_targets_ = ctx.alloc(in.candidates.rows(), hidden_width_);
  hidden_.rows(0, width_).multiply(ctx, in.tokens, GradMode::overwrite, of_events_);
  hidden_.rows(width_, 2 * width_).multiply(ctx, in.candidates, GradMode::overwrite, of_targets_);
  hidden_.all().add_bias(ctx, of_targets_);
  fill(ctx, z, 0);
  each_pairs(ctx, in, [&](const Pairs& p) {
    gemm(ctx, Transpose::no, Transpose::no, 1.0 / static_cast<double>(p.events), p.weights(p.w),
         p.of_events(in.tokens), 0, p.of_candidates(z));
  });
}

void Din::do_backward(Context& ctx, const InteractionInput& in, const ConstView& dz,
                      const InteractionGrad& grad) {
  const Arena::Scope scope(ctx.arena());
  const auto zeros = [&](int64_t rows, int64_t cols) {  // of sums over candidates
    const View x = ctx.alloc_parameter(rows, cols);
    fill(ctx, x, 0);
    return x;
  };
  const View dtokens = zeros(in.tokens.rows(), width_), dof_events = zeros(in.tokens.rows(), hidden_width_),
             dof_targets = ctx.zeros(of_targets_.rows(), hidden_width_);
  each_pairs(ctx, in, [&](const Pairs& p) {
    const double share = 1.0 / static_cast<double>(p.events);
    const ConstView events = p.of_events(in.tokens), g = p.of_candidates(dz);
    const View dw = ctx.alloc(p.rows(), 1), dhidden = ctx.alloc(p.rows(), hidden_width_),
               dproducts = ctx.alloc(p.rows(), width_);
    gemm(ctx, Transpose::no, Transpose::yes, share, g, events, 0, p.weights(dw));
    gemm(ctx, Transpose::yes, Transpose::no, share, p.weights(p.w), g, 1, p.of_events(dtokens));
    out_.backward(ctx, p.activated, dw, GradMode::overwrite, dhidden);
    silu_backward(ctx, p.hidden, dhidden, dhidden);
    column_sum(ctx, reshaped(dhidden, p.candidates), GradMode::accumulate, one_row(p.of_events(dof_events)));
    repeat_rows_backward(ctx, dhidden, p.by_candidate, GradMode::overwrite, p.of_candidates(dof_targets));
    gemm(ctx, Transpose::yes, Transpose::no, 1, dhidden, p.products, 1, product_.grad);
    gemm(ctx, Transpose::no, Transpose::no, 1, dhidden, product_.value, 0, dproducts);
    // Of e_j . T_c: to the events, and to the candidates.
    multiply(ctx, dproducts, p.targets, p.products);
    column_sum(ctx, reshaped(p.products, p.candidates), GradMode::accumulate, one_row(p.of_events(dtokens)));
    multiply(ctx, repeated(events, p.candidates), reshaped(dproducts, p.candidates),
             reshaped(p.products, p.candidates));
    repeat_rows_backward(ctx, p.products, p.by_candidate, GradMode::accumulate,
                         p.of_candidates(grad.candidates));
  });
  const LinearPart of_events = hidden_.rows(0, width_), of_targets = hidden_.rows(width_, 2 * width_);
  copy(ctx, dtokens, grad.tokens);
  const ConstView events_gradient = in_row_type(ctx, dof_events);
  of_events.backward_weight(ctx, in.tokens, events_gradient);
  of_events.backward_input(ctx, events_gradient, GradMode::accumulate, grad.tokens);
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
