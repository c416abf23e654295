#include "layers/hstu_block.h"

#include "layers/dispatch.h"
#include "layers/row_tiles.h"
#include "runtime/trace.h"

namespace lime {
HstuBlock::HstuBlock(ParameterStore& store, const std::string& name, int64_t width, int64_t heads, bool last)
    // Candidates and events begin as they are: noise of a user's whole history would drown them.
    : block_(store, name, width, Init::zeros), heads_(heads), last_(last) {}

void HstuBlock::project(Context& ctx, const GatedBlock::Rows& rows, View a) const {
  each_tile(ctx, rows.x.rows(), 12 * block_.width(), [&](int64_t begin, int64_t end) {
    block_.project(ctx, rows.slice(begin, end), a.slice_rows(begin, end));
  });
}

void HstuBlock::update(Context& ctx, const GatedBlock::Rows& rows, const View& a, View x_out) const {
  each_tile(ctx, rows.x.rows(), 12 * block_.width(), [&](int64_t begin, int64_t end) {
    block_.update(ctx, rows.slice(begin, end), a.slice_rows(begin, end), x_out.slice_rows(begin, end));
  });
}

void HstuBlock::forward(Context& ctx, const Jagged& history, const Jagged& impressions,
                        const ConstView& tokens, const ConstView& candidates, View tokens_out,
                        View candidates_out) {
  const TraceRange range(ctx, "hstu_block");
  const int64_t d = block_.width();
  check_shape(ctx, tokens, history.rows(), d, "tokens");
  check_shape(ctx, candidates, impressions.rows(), d, "candidates");
  check_shape(ctx, candidates_out, candidates.rows(), d, "candidates out");
  if (!last_) check_shape(ctx, tokens_out, tokens.rows(), d, "tokens out");
  attention_ = {heads_, history, impressions};
  token_rows_ = block_.make_rows(ctx, last_ ? 2 : 0, last_ ? 2 : 4, tokens, !last_);
  candidate_rows_ = block_.make_rows(ctx, 0, 4, candidates, true);

  const Arena::Scope scope(ctx.arena());
  const View a = block_.activations(ctx, token_rows_),
             a_candidates = block_.activations(ctx, candidate_rows_);
  project(ctx, token_rows_, a);
  project(ctx, candidate_rows_, a_candidates);
  causal_attention(ctx, attention_, block_.attention_rows(token_rows_, a),
                   block_.attention_rows(candidate_rows_, a_candidates), token_rows_.av, candidate_rows_.av);
  if (!last_) update(ctx, token_rows_, a, tokens_out);
  update(ctx, candidate_rows_, a_candidates, candidates_out);
}

void HstuBlock::backward(Context& ctx, View dtokens, View dcandidates) {
  const TraceRange range(ctx, "hstu_block_backward");
  const Arena::Scope scope(ctx.arena());
  const int64_t d = block_.width();
  check_shape(ctx, dtokens, token_rows_.x.rows(), d, "gradient of tokens");
  check_shape(ctx, dcandidates, candidate_rows_.x.rows(), d, "gradient of candidates");

  // One kind of rows: what is recomputed, and the gradients on their way.
  struct Side {
    Side(Context& c, const GatedBlock& block, const GatedBlock::Rows& r, bool updated)
        : rows(r), now(block.recall(c, r)), da(c.alloc(r.z.rows(), r.z.cols())) {
      if (updated) dav = c.alloc(r.x.rows(), block.width());
    }
    const GatedBlock::Rows& rows;
    GatedBlock::Recalled now;
    View da, dav;
  };
  Side tokens(ctx, block_, token_rows_, !last_), candidates(ctx, block_, candidate_rows_, true);
  const auto update_backward = [&](const Side& s, const View& dx) {
    each_tile(ctx, dx.rows(), 12 * d, [&](int64_t begin, int64_t end) {
      block_.update_backward(ctx, s.rows.slice(begin, end), s.now.a.slice_rows(begin, end),
                             dx.slice_rows(begin, end), s.da.slice_rows(begin, end),
                             s.dav.slice_rows(begin, end));
    });
  };
  const auto project_backward = [&](const Side& s, GradMode mode, const View& dx) {
    each_tile(ctx, dx.rows(), 12 * d, [&](int64_t begin, int64_t end) {
      block_.project_backward(ctx, s.rows.slice(begin, end), s.now.slice(begin, end).slope,
                              s.da.slice_rows(begin, end), mode, dx.slice_rows(begin, end));
    });
  };
  if (!last_) update_backward(tokens, dtokens);
  update_backward(candidates, dcandidates);
  causal_attention_backward(ctx, attention_, block_.attention_rows(tokens.rows, tokens.now.a),
                            block_.attention_rows(candidates.rows, candidates.now.a), tokens.dav,
                            candidates.dav, block_.attention_grads(tokens.rows, tokens.da),
                            block_.attention_grads(candidates.rows, candidates.da));
  project_backward(tokens, last_ ? GradMode::overwrite : GradMode::accumulate, dtokens);
  project_backward(candidates, GradMode::accumulate, dcandidates);
  block_.ready();
}

double HstuBlock::forward_flops(int64_t requests, int64_t history_tokens, int64_t candidates) const {
  const auto t = static_cast<double>(history_tokens), c = static_cast<double>(candidates),
             d = static_cast<double>(block_.width());
  const double n = requests > 0 ? t / static_cast<double>(requests) : 0;
  const double pairs = c * (n + 1) + (last_ ? 0 : t * (n + 1) / 2);
  return 2 * d * d * ((last_ ? 2 : 5) * t + 5 * c) + 4 * pairs * d;
}

}  // namespace lime
