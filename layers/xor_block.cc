#include "layers/xor_block.h"

#include <algorithm>

#include "layers/dispatch.h"
#include "runtime/trace.h"

namespace lime {

XorBlock::Rows XorBlock::Rows::slice(int64_t begin, int64_t end) const {
  Rows r = *this;
  r.x = x.slice_rows(begin, end);
  r.z = z.slice_rows(begin, end);
  r.in = in.slice_rows(begin, end);
  if (av.cols() > 0) r.av = av.slice_rows(begin, end), r.out = out.slice_rows(begin, end);
  return r;
}

XorBlock::XorBlock(ParameterStore& store, const std::string& name, int64_t width, int64_t heads,
                   int64_t links, bool last)
    : width_(width),
      heads_(heads),
      links_(links),
      last_(last),
      norm_in_(store, name + ".norm_in", width),
      uqkv_(store, name + ".uqkv", width, 4 * width),
      norm_av_(store, name + ".norm_av", width),
      out_(store, name + ".out", width, width) {}

View XorBlock::column(const Rows& rows, const View& a, int64_t which) const {
  const int64_t c = which - rows.first_column;
  if (c < 0 || c >= rows.columns) return {};
  return a.slice_cols(c * width_, (c + 1) * width_);
}

AttentionRows XorBlock::attention_rows(const Rows& r, const View& a) const {
  return {column(r, a, 1), column(r, a, 2), column(r, a, 3)};
}

AttentionRowsGrad XorBlock::attention_grads(const Rows& r, const View& da) const {
  return {column(r, da, 1), column(r, da, 2), column(r, da, 3)};
}

LinearPart XorBlock::projection(const Rows& r) const {
  return uqkv_.cols(r.first_column * width_, (r.first_column + r.columns) * width_);
}

XorBlock::Rows XorBlock::make_rows(Context& ctx, int64_t first_column, int64_t columns, const ConstView& x,
                                   bool updated) const {
  Rows r{first_column,
         columns,
         x,
         ctx.alloc(x.rows(), columns * width_),
         {},
         LayerNormStats::alloc(ctx, x.rows()),
         {}};
  if (updated) r.av = ctx.alloc(x.rows(), width_), r.out = LayerNormStats::alloc(ctx, x.rows());
  return r;
}

GatedNorm XorBlock::gated(const Rows& r) const {
  return {norm_av_.gain().value, norm_av_.bias().value, LayerNorm::eps, r.out.mean, r.out.rstd};
}

void XorBlock::project(Context& ctx, const Rows& r, View a) const {
  const Arena::Scope scope(ctx.arena());
  const LinearPart w = projection(r);
  View normed = ctx.alloc(r.x.rows(), width_);
  norm_in_.forward(ctx, r.x, normed, r.in);
  w.multiply(ctx, normed, GradMode::overwrite, a);
  bias_silu_keep(ctx, w.bias, a, r.z, a);
}

void XorBlock::update(Context& ctx, const Rows& r, const View& a, View x_out) const {
  const Arena::Scope scope(ctx.arena());
  View y = ctx.alloc(r.x.rows(), width_), product = ctx.alloc(r.x.rows(), width_);
  gated_norm(ctx, gated(r), r.av, column(r, a, 0), y);
  const LinearPart w = out_.all();
  w.multiply(ctx, y, GradMode::overwrite, product);
  add_residual(ctx, r.x, product, w.bias, x_out);
}

void XorBlock::update_backward(Context& ctx, const Rows& r, const View& a, const ConstView& dx_out, View da,
                               View dav) const {
  const Arena::Scope scope(ctx.arena());
  const LinearPart w = out_.all();
  View y = ctx.alloc(r.x.rows(), width_);
  w.backward_input(ctx, dx_out, GradMode::overwrite, dav);
  gated_norm_backward(ctx, gated(r), r.av, column(r, a, 0), dav, y, column(r, da, 0), dav,
                      norm_av_.gain().grad, norm_av_.bias().grad);
  w.backward_weight(ctx, y, dx_out);
  w.backward_bias(ctx, dx_out);
}

void XorBlock::project_backward(Context& ctx, const Rows& r, const ConstView& slope, View da, GradMode mode,
                                View dx) const {
  const Arena::Scope scope(ctx.arena());
  const LinearPart w = projection(r);
  View normed = ctx.alloc(r.x.rows(), width_);
  norm_in_.recompute(ctx, r.x, r.in, normed);
  multiply_slope(ctx, slope, da, w.dbias);
  w.backward_weight(ctx, normed, da);
  w.backward_input(ctx, da, GradMode::overwrite, normed);
  norm_in_.backward(ctx, r.x, r.in, normed, mode, dx);
}

void XorBlock::forward(Context& ctx, const Jagged& history, const ConstView& links, const ConstView& tokens,
                       View links_out, View tokens_out) {
  const TraceRange range(ctx, "xor_block");
  const int64_t link_count = history.segments() * links_, d = width_;
  check_shape(ctx, links, link_count, d, "links");
  check_shape(ctx, tokens, history.rows(), d, "tokens");
  check_shape(ctx, links_out, link_count, d, "links out");
  if (!last_) check_shape(ctx, tokens_out, history.rows(), d, "tokens out");
  history_ = history;
  link_rows_ = make_rows(ctx, 0, last_ ? 2 : 4, links, true);
  token_rows_ = make_rows(ctx, last_ ? 2 : 0, last_ ? 2 : 4, tokens, !last_);

  const Arena::Scope scope(ctx.arena());
  View a_links = ctx.alloc(link_count, link_rows_.columns * d);
  project(ctx, link_rows_, a_links);
  fill(ctx, link_rows_.av, 0);
  const int64_t step = ctx.tile_rows(12 * d);
  for (int64_t first = 0; first < tokens.rows(); first += step) {
    const Arena::Scope tile_scope(ctx.arena());
    const int64_t end = std::min(first + step, tokens.rows());
    const Rows tile = token_rows_.slice(first, end);
    View a = ctx.alloc(end - first, tile.columns * d);
    project(ctx, tile, a);
    xor_attention(ctx, {heads_, links_, history, first}, attention_rows(tile, a),
                  attention_rows(link_rows_, a_links), tile.av, link_rows_.av);
    if (!last_) update(ctx, tile, a, tokens_out.slice_rows(first, end));
  }
  update(ctx, link_rows_, a_links, links_out);
}

void XorBlock::backward(Context& ctx, View dlinks, View dtokens) {
  const TraceRange range(ctx, "xor_block_backward");
  const Arena::Scope scope(ctx.arena());
  const int64_t link_count = link_rows_.x.rows(), d = width_;
  check_shape(ctx, dlinks, link_count, d, "gradient of links");
  check_shape(ctx, dtokens, token_rows_.x.rows(), d, "gradient of tokens");

  View a_links = ctx.alloc(link_count, link_rows_.columns * d),
       da_links = ctx.zeros(link_count, a_links.cols());
  View slope_links = ctx.alloc(link_count, a_links.cols()), dav_links = ctx.alloc(link_count, d);
  silu_with_slope(ctx, link_rows_.z, a_links, slope_links);
  update_backward(ctx, link_rows_, a_links, dlinks, da_links, dav_links);
  const int64_t step = ctx.tile_rows(12 * d);
  for (int64_t first = 0; first < dtokens.rows(); first += step) {
    const Arena::Scope tile_scope(ctx.arena());
    const int64_t end = std::min(first + step, dtokens.rows());
    const Rows tile = token_rows_.slice(first, end);
    const View dx = dtokens.slice_rows(first, end);
    View a = ctx.alloc(end - first, tile.columns * d), da = ctx.alloc(end - first, tile.columns * d);
    View slope = ctx.alloc(end - first, tile.columns * d), dav;
    silu_with_slope(ctx, tile.z, a, slope);
    if (!last_) {
      dav = ctx.alloc(end - first, d);
      update_backward(ctx, tile, a, dx, da, dav);
    }
    xor_attention_backward(ctx, {heads_, links_, history_, first}, attention_rows(tile, a),
                           attention_rows(link_rows_, a_links), dav, dav_links, attention_grads(tile, da),
                           attention_grads(link_rows_, da_links));
    project_backward(ctx, tile, slope, da, last_ ? GradMode::overwrite : GradMode::accumulate, dx);
  }
  project_backward(ctx, link_rows_, slope_links, da_links, GradMode::accumulate, dlinks);
  out_.ready();
  norm_av_.ready();
  uqkv_.ready();
  norm_in_.ready();
}

double XorBlock::forward_flops(int64_t requests, int64_t history_tokens) const {
  const auto l = static_cast<double>(requests * links_), t = static_cast<double>(history_tokens);
  const double square = 2 * static_cast<double>(width_) * static_cast<double>(width_);
  const double projections = last_ ? 2 * l + 2 * t : 4 * l + 4 * t, updates = last_ ? l : l + t;
  return square * (projections + updates) + xor_attention_flops(history_tokens, links_, width_, !last_);
}

XorStack::XorStack(ParameterStore& store, const std::string& name, int64_t width, int64_t heads,
                   int64_t links, int64_t blocks) {
  for (int64_t k = 0; k < blocks; ++k)
    blocks_.push_back(
        std::make_unique<XorBlock>(store, str(name, ".block", k), width, heads, links, k + 1 == blocks));
}

void XorStack::forward(Context& ctx, const ConstView& lc, const ConstView& tokens, const Jagged& history,
                       View lp) {
  ConstView links = lc, rows = tokens;
  for (const auto& block : blocks_) {
    const bool last = block == blocks_.back();
    View links_out = last ? lp : ctx.alloc(lp.rows(), lp.cols());
    View rows_out = last ? View{} : ctx.alloc(tokens.rows(), tokens.cols());
    block->forward(ctx, history, links, rows, links_out, rows_out);
    links = links_out, rows = rows_out;
  }
}

void XorStack::backward(Context& ctx, View dlinks, View dtokens) {
  for (auto it = blocks_.rbegin(); it != blocks_.rend(); ++it) (*it)->backward(ctx, dlinks, dtokens);
}

double XorStack::forward_flops(int64_t requests, int64_t history_tokens) const {
  double sum = 0;
  for (const auto& block : blocks_) sum += block->forward_flops(requests, history_tokens);
  return sum;
}

}  // namespace lime
