#include "layers/decoupled_attention.h"

#include <cmath>

#include "layers/dispatch.h"
#include "layers/mix_links.h"
#include "runtime/trace.h"

namespace lime {

DecoupledAttention::DecoupledAttention(ParameterStore& store, const std::string& name, int64_t width,
                                       int64_t heads, int64_t links, CandidateAttention phi)
    : width_(width),
      heads_(heads),
      links_(links),
      head_width_(width / heads),
      phi_(phi),
      tq_(store, name + ".tq", width, width, false),
      lk_(store, name + ".lk", width, width, false, Init::normal),
      v_(store, name + ".v", width, width, false),
      z_(store, name + ".z", width, width) {}

template <typename F>
void DecoupledAttention::each_softmax(const View& p, F f) const {
  if (phi_ != CandidateAttention::softmax) return;
  const auto all = [&](const View& v) {
    return View(v.raw(), v.dtype(), v.device(), v.rows() * heads_, links_, links_);
  };
  if (p.contiguous()) return f(all);
  for (int64_t h = 0; h < heads_; ++h) f([&](const View& v) { return weights_of(v, h); });
}

void DecoupledAttention::weights(Context& ctx, const ConstView& t, const ConstView& l, View p) {
  const TraceRange range(ctx, "decoupled_weights");
  check_shape(ctx, t, t.rows(), width_, "candidates");
  check_shape(ctx, l, links_, width_, "links");
  check_shape(ctx, p, t.rows(), heads_ * links_, "attention weights");
  t_ = t, l_ = l, p_ = p;
  q_ = ctx.alloc(t.rows(), width_), k_ = ctx.alloc(links_, width_);
  scores_ = phi_ == CandidateAttention::silu ? ctx.alloc(p.rows(), p.cols()) : p;
  tq_.forward(ctx, t, q_);
  lk_.forward(ctx, l, k_);
  const double slope = 1 / std::sqrt(static_cast<double>(head_width_));
  for (int64_t h = 0; h < heads_; ++h)
    gemm(ctx, Transpose::no, Transpose::yes, slope, head(q_, h), head(k_, h), 0, weights_of(scores_, h));
  each_softmax(p, [&](auto rows) { softmax_rows(ctx, rows(p)); });
  if (phi_ == CandidateAttention::silu) silu(ctx, scores_, p);
}

void DecoupledAttention::forward(Context& ctx, const ConstView& t, const ConstView& l, const ConstView& lp,
                                 const Jagged& impressions, View z) {
  weights(ctx, t, l, ctx.alloc(t.rows(), heads_ * links_));
  const TraceRange range(ctx, "decoupled_attention");
  check_shape(ctx, t, impressions.rows(), width_, "candidates");
  check_shape(ctx, lp, impressions.segments() * links_, width_, "personalised links");
  lp_ = lp, impressions_ = impressions;
  values_ = ctx.alloc(lp.rows(), width_), mixed_ = ctx.alloc(t.rows(), width_);
  v_.forward(ctx, lp, values_);
  mix_links(ctx, heads_, p_, values_, impressions, mixed_);
  z_.forward(ctx, mixed_, z);
}

void DecoupledAttention::backward(Context& ctx, const ConstView& dz, View dt, View dl, View dlp) {
  const TraceRange range(ctx, "decoupled_attention_backward");
  const Arena::Scope scope(ctx.arena());
  check_shape(ctx, dz, t_.rows(), width_, "gradient of decoupled attention");
  check_shape(ctx, dlp, lp_.rows(), width_, "gradient of personalised links");
  View dmixed = ctx.alloc(dz.rows(), width_), dvalues = ctx.alloc(lp_.rows(), width_);
  View dp = ctx.alloc(p_.rows(), p_.cols()), dq = ctx.alloc(q_.rows(), width_),
       dk = ctx.zeros(links_, width_);
  z_.backward(ctx, mixed_, dz, GradMode::overwrite, dmixed);
  z_.ready();
  mix_links_backward(ctx, heads_, p_, values_, impressions_, dmixed, dp, dvalues);
  v_.backward(ctx, lp_, dvalues, GradMode::overwrite, dlp);
  v_.ready();
  if (phi_ == CandidateAttention::silu) silu_backward(ctx, scores_, dp, dp);
  const double slope = 1 / std::sqrt(static_cast<double>(head_width_));
  each_softmax(p_, [&](auto rows) { softmax_rows_backward(ctx, rows(p_), rows(dp), rows(dp)); });
  for (int64_t h = 0; h < heads_; ++h) {
    const View ds = weights_of(dp, h);
    if (ds.rows() == 0) continue;
    gemm(ctx, Transpose::no, Transpose::no, slope, ds, head(k_, h), 0, head(dq, h));
    gemm(ctx, Transpose::yes, Transpose::no, slope, ds, head(q_, h), 0, head(dk, h));
  }
  lk_.backward(ctx, l_, dk, GradMode::accumulate, dl);
  lk_.ready();
  tq_.backward(ctx, t_, dq, GradMode::accumulate, dt);
  tq_.ready();
}

void DecoupledAttention::fold(Context& ctx, const ConstView& lp, const ConstView& zw, View mix) const {
  const TraceRange range(ctx, "fold_links");
  check_shape(ctx, lp, links_, width_, "personalised links");
  check_shape(ctx, zw, width_, mix.cols(), "output weights");
  check_parameter(ctx, mix, weight_columns(), mix.cols(), "mixture");
  const Arena::Scope scope(ctx.arena());
  const View values = ctx.alloc(links_, width_);
  v_.forward(ctx, lp, values);
  for (int64_t h = 0; h < heads_; ++h)
    gemm(ctx, Transpose::no, Transpose::no, 1, head(values, h),
         zw.slice_rows(h * head_width_, (h + 1) * head_width_), 0,
         mix.slice_rows(h * links_, (h + 1) * links_));
}

double DecoupledAttention::forward_flops(int64_t requests, int64_t candidates) const {
  const auto c = static_cast<double>(candidates), d = static_cast<double>(width_),
             l = static_cast<double>(links_);
  const double projections = 2 * d * d * (2 * c + l + static_cast<double>(requests) * l);  // tq, z; lk; v
  return projections + 4 * c * l * d;
}

}  // namespace lime
