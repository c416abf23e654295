#include "layers/history_compression.h"

#include <algorithm>

#include "layers/device_offsets.h"
#include "layers/dispatch.h"
#include "layers/last_rows.h"
#include "runtime/primitives.h"
#include "runtime/trace.h"

namespace lime {

// --- the last events ---------------------------------------------------------------------------

CompressedHistory LastEvents::forward(Context& ctx, const ConstView& tokens, const Jagged& history) {
  history_ = history;
  offsets_.assign(1, 0);
  for (int64_t b = 0; b < history.segments(); ++b)
    offsets_.push_back(offsets_.back() + std::min(links_, history.length(b)));
  segments_ = on_device(ctx, offsets_);
  View rows = ctx.alloc(segments_.rows(), tokens.cols());
  last_rows(ctx, tokens, history, segments_, rows);
  return {rows, segments_};
}

void LastEvents::backward(Context& ctx, const ConstView& drows, View dtokens) {
  last_rows_backward(ctx, drows, history_, segments_, dtokens);
}

double LastEvents::rows(double events) const { return std::min(events, static_cast<double>(links_)); }

// --- a low-rank projection ---------------------------------------------------------------------

LowRankProjection::LowRankProjection(ParameterStore& store, const std::string& name, int64_t links,
                                     int64_t width)
    : store_(store),
      links_(links),
      width_(width),
      segments_(8 * links),
      weight_(store.add(name + ".weight", links, segments_, Init::unit, Role::weight)) {}

// Calls f(first row, first mean, means, first column of F) for every history that is not empty.
template <typename F>
void LowRankProjection::each_history(F&& f) const {
  for (size_t b = 0; b + 1 < row_offsets_.size(); ++b) {
    const int64_t n = mean_offsets_[b + 1] - mean_offsets_[b];
    if (n > 0) f(row_offsets_[b], mean_offsets_[b], n, segments_ - n);
  }
}

CompressedHistory LowRankProjection::forward(Context& ctx, const ConstView& tokens, const Jagged& history) {
  const TraceRange range(ctx, "low_rank_projection");
  check_shape(ctx, tokens, history.rows(), width_, "tokens");
  offsets_.assign(1, 0), row_offsets_.assign(1, 0), mean_offsets_.assign(1, 0);
  for (int64_t b = 0; b < history.segments(); ++b) {
    const int64_t events = history.length(b), n = std::min(events, segments_);
    for (int64_t s = 1; s <= n; ++s) offsets_.push_back(history.begin(b) + s * events / n);
    mean_offsets_.push_back(mean_offsets_.back() + n);
    row_offsets_.push_back(row_offsets_.back() + (n > 0 ? links_ : 0));
  }
  pooled_ = on_device(ctx, offsets_);
  means_ = ctx.alloc(pooled_.segments(), width_);
  segment_mean(ctx, tokens, pooled_, means_);
  const Jagged segments = on_device(ctx, row_offsets_);
  View rows = ctx.alloc(segments.rows(), width_);
  each_history([&](int64_t row, int64_t mean, int64_t n, int64_t column) {
    gemm(ctx, Transpose::no, Transpose::no, 1, weight_.value.slice_cols(column, segments_),
         means_.slice_rows(mean, mean + n), 0, rows.slice_rows(row, row + links_));
  });
  return {rows, segments};
}

void LowRankProjection::backward(Context& ctx, const ConstView& drows, View dtokens) {
  const TraceRange range(ctx, "low_rank_projection_backward");
  const Arena::Scope scope(ctx.arena());
  check_shape(ctx, drows, row_offsets_.back(), width_, "gradient of rows");
  check_shape(ctx, dtokens, pooled_.rows(), width_, "gradient of tokens");
  View dmeans = ctx.alloc(means_.rows(), width_);
  each_history([&](int64_t row, int64_t mean, int64_t n, int64_t column) {
    const ConstView dy = drows.slice_rows(row, row + links_);
    gemm(ctx, Transpose::yes, Transpose::no, 1, weight_.value.slice_cols(column, segments_), dy, 0,
         dmeans.slice_rows(mean, mean + n));
    gemm(ctx, Transpose::no, Transpose::yes, 1, dy, means_.slice_rows(mean, mean + n), 1,
         weight_.grad.slice_cols(column, segments_));
  });
  segment_mean_backward(ctx, dmeans, pooled_, GradMode::overwrite, dtokens);
  store_.ready(weight_);
}

double LowRankProjection::rows(double events) const { return events > 0 ? static_cast<double>(links_) : 0.0; }

double LowRankProjection::forward_flops(double events) const {
  return 2 * static_cast<double>(links_ * width_) * std::min(events, static_cast<double>(segments_));
}

}  // namespace lime
