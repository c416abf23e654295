#include "layers/xor_block.h"

#include "layers/dispatch.h"
#include "layers/row_tiles.h"
#include "runtime/trace.h"

namespace lime {
namespace {

// Links and tokens as one matrix, where the one lies right behind the other; else no rows.
template <typename V>
V joined(const V& links, const V& tokens) {
  if (links.empty() || tokens.empty() || links.cols() != tokens.cols() || links.stride() != tokens.stride())
    return {};
  const auto size = static_cast<int64_t>(size_of(links.dtype()));
  if (static_cast<const char*>(links.raw()) + links.rows() * links.stride() * size != tokens.raw()) return {};
  return {links.raw(),  links.dtype(), links.device(), links.rows() + tokens.rows(),
          links.cols(), links.stride()};
}

}  // namespace

XorBlock::XorBlock(ParameterStore& store, const std::string& name, int64_t width, int64_t heads,
                   int64_t links, bool last)
    // What further blocks read begins as it was; what the history says of the links must be seen at once.
    : block_(store, name, width, last ? Init::fan_in : Init::zeros),
      heads_(heads),
      links_(links),
      last_(last) {}

void XorBlock::forward(Context& ctx, const Jagged& history, const HistoryParts& parts, const ConstView& links,
                       const ConstView& tokens, View links_out, View tokens_out) {
  const TraceRange range(ctx, "xor_block");
  const int64_t link_count = history.segments() * links_, d = block_.width();
  check_shape(ctx, links, link_count, d, "links");
  check_shape(ctx, tokens, history.rows(), d, "tokens");
  check_shape(ctx, links_out, link_count, d, "links out");
  if (!last_) check_shape(ctx, tokens_out, history.rows(), d, "tokens out");
  history_ = history, parts_ = parts;
  both_ = {};
  const ConstView x = joined(links, tokens);
  const View out = joined(links_out, tokens_out);  // not in the last block
  if (ctx.device() != Device{} && x.rows() > 0 && out.rows() > 0) {
    both_ = block_.make_rows(ctx, 0, 4, x, true);
    link_rows_ = both_.slice(0, link_count), token_rows_ = both_.slice(link_count, x.rows());
    block_.project(ctx, both_, both_.a);
    fill(ctx, link_rows_.av, 0);
    xor_attention(ctx, tile_from(0), block_.attention_rows(token_rows_, token_rows_.a),
                  block_.attention_rows(link_rows_, link_rows_.a), token_rows_.av, link_rows_.av);
    reduce_parts(ctx, parts_, ReduceOp::sum, link_rows_.av);
    return block_.update(ctx, both_, both_.a, out);
  }
  link_rows_ = block_.make_rows(ctx, 0, last_ ? 2 : 4, links, true);
  token_rows_ = block_.make_rows(ctx, last_ ? 2 : 0, last_ ? 2 : 4, tokens, !last_);

  const Arena::Scope scope(ctx.arena());
  const View a_links = block_.activations(ctx, link_rows_);
  block_.project(ctx, link_rows_, a_links);
  fill(ctx, link_rows_.av, 0);
  each_tile(ctx, tokens.rows(), 12 * d, [&](int64_t first, int64_t end) {
    const Arena::Scope tile_scope(ctx.arena());
    const GatedBlock::Rows tile = token_rows_.slice(first, end);
    const View a = block_.activations(ctx, tile);
    block_.project(ctx, tile, a);
    xor_attention(ctx, tile_from(first), block_.attention_rows(tile, a),
                  block_.attention_rows(link_rows_, a_links), tile.av, link_rows_.av);
    if (!last_) block_.update(ctx, tile, a, tokens_out.slice_rows(first, end));
  });
  reduce_parts(ctx, parts_, ReduceOp::sum, link_rows_.av);
  block_.update(ctx, link_rows_, a_links, links_out);
}

void XorBlock::backward(Context& ctx, View dlinks, View dtokens) {
  const TraceRange range(ctx, "xor_block_backward");
  const Arena::Scope scope(ctx.arena());
  const int64_t link_count = link_rows_.x.rows(), d = block_.width();
  check_shape(ctx, dlinks, link_count, d, "gradient of links");
  check_shape(ctx, dtokens, token_rows_.x.rows(), d, "gradient of tokens");

  if (const View dx = joined(dlinks, dtokens); both_.x.rows() > 0 && dx.rows() > 0) {
    const View da = ctx.alloc(dx.rows(), 4 * d), dav = ctx.alloc(dx.rows(), d);
    const auto links_of = [&](const View& v) { return v.slice_rows(0, link_count); };
    const auto tokens_of = [&](const View& v) { return v.slice_rows(link_count, v.rows()); };
    fill(ctx, links_of(da), 0);  // attention adds to it
    block_.update_backward(ctx, both_, both_.a, dx, da, dav);
    reduce_parts(ctx, parts_, ReduceOp::sum, links_of(dav));
    xor_attention_backward(ctx, tile_from(0), block_.attention_rows(token_rows_, token_rows_.a),
                           block_.attention_rows(link_rows_, link_rows_.a), tokens_of(dav), links_of(dav),
                           block_.attention_grads(token_rows_, tokens_of(da)),
                           block_.attention_grads(link_rows_, links_of(da)));
    block_.project_backward(ctx, both_, {}, da, GradMode::accumulate, dx);
    return block_.ready();
  }
  const GatedBlock::Recalled links = block_.recall(ctx, link_rows_);
  View da_links = ctx.zeros(link_count, links.a.cols()), dav_links = ctx.alloc(link_count, d);
  block_.update_backward(ctx, link_rows_, links.a, dlinks, da_links, dav_links);
  reduce_parts(ctx, parts_, ReduceOp::sum, dav_links);
  each_tile(ctx, dtokens.rows(), 12 * d, [&](int64_t first, int64_t end) {
    const Arena::Scope tile_scope(ctx.arena());
    const GatedBlock::Rows tile = token_rows_.slice(first, end);
    const View dx = dtokens.slice_rows(first, end);
    const GatedBlock::Recalled now = block_.recall(ctx, tile);
    View da = ctx.alloc(end - first, tile.columns * d), dav;
    if (!last_) {
      dav = ctx.alloc(end - first, d);
      block_.update_backward(ctx, tile, now.a, dx, da, dav);
    }
    xor_attention_backward(ctx, tile_from(first), block_.attention_rows(tile, now.a),
                           block_.attention_rows(link_rows_, links.a), dav, dav_links,
                           block_.attention_grads(tile, da), block_.attention_grads(link_rows_, da_links));
    block_.project_backward(ctx, tile, now.slope, da, last_ ? GradMode::overwrite : GradMode::accumulate, dx);
  });
  block_.project_backward(ctx, link_rows_, links.slope, da_links, GradMode::accumulate, dlinks);
  block_.ready();
}

double XorBlock::forward_flops(int64_t requests, int64_t history_tokens) const {
  const auto l = static_cast<double>(requests * links_), t = static_cast<double>(history_tokens);
  const double square = 2 * static_cast<double>(block_.width() * block_.width());
  const double projections = last_ ? 2 * l + 2 * t : 4 * l + 4 * t, updates = last_ ? l : l + t;
  return square * (projections + updates) +
         xor_attention_flops(history_tokens, links_, block_.width(), !last_);
}

XorStack::XorStack(ParameterStore& store, const std::string& name, int64_t width, int64_t heads,
                   int64_t links, int64_t blocks) {
  for (int64_t k = 0; k < blocks; ++k)
    blocks_.push_back(
        std::make_unique<XorBlock>(store, str(name, ".block", k), width, heads, links, k + 1 == blocks));
}

void XorStack::forward(Context& ctx, const ConstView& lc, const ConstView& tokens, const Jagged& history,
                       const HistoryParts& parts, View lp) {
  ConstView links = lc, rows = tokens;
  for (const auto& block : blocks_) {
    const bool last = block == blocks_.back();
    const View both = last ? View{} : ctx.alloc(lp.rows() + tokens.rows(), lp.cols());
    const View links_out = last ? lp : both.slice_rows(0, lp.rows());
    const View rows_out = last ? both : both.slice_rows(lp.rows(), both.rows());
    block->forward(ctx, history, parts, links, rows, links_out, rows_out);
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
