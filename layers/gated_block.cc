#include "layers/gated_block.h"

#include "layers/dispatch.h"

namespace lime {
namespace {

// What rows keep, or memory of the moment, as large as x.
View kept_or_scratch(Context& ctx, const View& kept, const ConstView& x) {
  return kept.cols() > 0 ? kept : ctx.alloc(x.rows(), x.cols());
}

}  // namespace

GatedBlock::Rows GatedBlock::Rows::slice(int64_t begin, int64_t end) const {
  Rows r = *this;
  r.x = x.slice_rows(begin, end);
  r.z = z.slice_rows(begin, end);
  r.in = in.slice_rows(begin, end);
  if (av.cols() > 0) r.av = av.slice_rows(begin, end), r.out = out.slice_rows(begin, end);
  for (View* kept : {&r.a, &r.normed, &r.gated})
    if (kept->cols() > 0) *kept = kept->slice_rows(begin, end);
  return r;
}

GatedBlock::Recalled GatedBlock::Recalled::slice(int64_t begin, int64_t end) const {
  return {a.slice_rows(begin, end), slope.cols() > 0 ? slope.slice_rows(begin, end) : View{}};
}

GatedBlock::GatedBlock(ParameterStore& store, const std::string& name, int64_t width, Init out)
    : width_(width),
      norm_in_(store, name + ".norm_in", width),
      uqkv_(store, name + ".uqkv", width, 4 * width),
      norm_av_(store, name + ".norm_av", width),
      out_(store, name + ".out", width, width, true, out) {}

View GatedBlock::column(const Rows& rows, const View& a, int64_t which) const {
  const int64_t c = which - rows.first_column;
  if (c < 0 || c >= rows.columns) return {};
  return a.slice_cols(c * width_, (c + 1) * width_);
}

AttentionRows GatedBlock::attention_rows(const Rows& r, const View& a) const {
  return {column(r, a, 1), column(r, a, 2), column(r, a, 3)};
}

AttentionRowsGrad GatedBlock::attention_grads(const Rows& r, const View& da) const {
  return {column(r, da, 1), column(r, da, 2), column(r, da, 3)};
}

LinearPart GatedBlock::projection(const Rows& r) const {
  return uqkv_.cols(r.first_column * width_, (r.first_column + r.columns) * width_);
}

GatedBlock::Rows GatedBlock::make_rows(Context& ctx, int64_t first_column, int64_t columns,
                                       const ConstView& x, bool updated) const {
  Rows r;
  r.first_column = first_column, r.columns = columns, r.x = x;
  r.z = ctx.alloc(x.rows(), columns * width_), r.in = LayerNormStats::alloc(ctx, x.rows());
  if (updated) r.av = ctx.alloc(x.rows(), width_), r.out = LayerNormStats::alloc(ctx, x.rows());
  if (ctx.device() != Device{}) {
    r.a = ctx.alloc(x.rows(), columns * width_), r.normed = ctx.alloc(x.rows(), width_);
    if (updated) r.gated = ctx.alloc(x.rows(), width_);
  }
  return r;
}

GatedNorm GatedBlock::gated(const Rows& r) const {
  return {norm_av_.gain().value, norm_av_.bias().value, LayerNorm::eps, r.out.mean, r.out.rstd};
}

View GatedBlock::activations(Context& ctx, const Rows& r) const {
  return r.a.cols() > 0 ? r.a : ctx.alloc(r.x.rows(), r.columns * width_);
}

void GatedBlock::project(Context& ctx, const Rows& r, View a) const {
  const Arena::Scope scope(ctx.arena());
  const LinearPart w = projection(r);
  const View normed = kept_or_scratch(ctx, r.normed, r.x);
  norm_in_.forward(ctx, r.x, normed, r.in);
  // The CPU's product stays in cache, and what is kept is written past it.
  const View product = ctx.device() == Device{} ? a : r.z;
  w.multiply(ctx, normed, GradMode::overwrite, product);
  bias_silu_keep(ctx, w.bias, product, r.z, a);
}

GatedBlock::Recalled GatedBlock::recall(Context& ctx, const Rows& r) const {
  if (r.a.cols() > 0) return {r.a, {}};
  const Recalled now{activations(ctx, r), ctx.alloc(r.z.rows(), r.z.cols())};
  silu_with_slope(ctx, projection(r).bias, r.z, now.a, now.slope);
  return now;
}

void GatedBlock::update(Context& ctx, const Rows& r, const View& a, View x_out) const {
  const Arena::Scope scope(ctx.arena());
  const View y = kept_or_scratch(ctx, r.gated, r.x);
  gated_norm(ctx, gated(r), r.av, column(r, a, 0), y);
  const LinearPart w = out_.all();
  if (w.forward_onto(ctx, r.x, y, x_out)) return;
  const View product = ctx.alloc(r.x.rows(), width_);
  w.multiply(ctx, y, GradMode::overwrite, product);
  add_residual(ctx, r.x, product, w.bias, x_out);
}

void GatedBlock::update_backward(Context& ctx, const Rows& r, const View& a, const ConstView& dx_out, View da,
                                 View dav) const {
  const Arena::Scope scope(ctx.arena());
  const LinearPart w = out_.all();
  const View y = kept_or_scratch(ctx, r.gated, r.x);
  w.backward_input(ctx, dx_out, GradMode::overwrite, dav);
  gated_norm_backward(ctx, gated(r), r.av, column(r, a, 0), dav, r.gated.cols() > 0 ? View{} : y,
                      column(r, da, 0), dav, norm_av_.gain().grad, norm_av_.bias().grad);
  w.backward_parameters(ctx, y, dx_out);
}

void GatedBlock::project_backward(Context& ctx, const Rows& r, const ConstView& slope, View da, GradMode mode,
                                  View dx) const {
  const Arena::Scope scope(ctx.arena());
  const LinearPart w = projection(r);
  const View normed = kept_or_scratch(ctx, r.normed, r.x);
  if (r.normed.cols() == 0) norm_in_.recompute(ctx, r.x, r.in, normed);
  multiply_slope(ctx, w.bias, r.z, slope, da, w.dbias);
  w.backward_weight(ctx, normed, da);
  w.backward_input(ctx, da, GradMode::overwrite, normed);
  norm_in_.backward(ctx, r.x, r.in, normed, mode, dx);
}

void GatedBlock::ready() const {
  out_.ready();
  norm_av_.ready();
  uqkv_.ready();
  norm_in_.ready();
}

}  // namespace lime
