#include "layers/token_encoder.h"

#include "layers/cpu_kernels.h"
#include "layers/cuda_kernels.h"
#include "layers/dispatch.h"
#include "layers/row_tiles.h"
#include "runtime/trace.h"

namespace lime {

TokenEncoder::TokenEncoder(ParameterStore& store, const std::string& name, int64_t features, int64_t width,
                           int64_t positions)
    : store_(store), linear_(store, name, features, width) {
  // Zeros: at first the network is blind to positions, and small new embeddings are not drowned by them.
  if (positions > 0) position_ = &store.add(name + ".position", positions, width, Init::zeros, Role::rows);
}

void TokenEncoder::forward(Context& ctx, const ConstView& x, const Jagged& history, const HistoryParts& parts,
                           View tokens) {
  const TraceRange range(ctx, "token_encoder");
  check_shape(ctx, x, history.rows(), linear_.in(), "history");
  check_shape(ctx, tokens, history.rows(), linear_.out(), "tokens");
  x_ = x, history_ = history, later_ = parts.later;
  each_tile(ctx, x.rows(), linear_.in() + linear_.out(), [&](int64_t first, int64_t end) {
    View tile = tokens.slice_rows(first, end);
    linear_.forward(ctx, x.slice_rows(first, end), tile);
    if (position_) add_positions(ctx, position_->value, history, later_, first, tile);
  });
}

void TokenEncoder::backward(Context& ctx, const ConstView& dtokens, View dx) {
  const TraceRange range(ctx, "token_encoder_backward");
  check_shape(ctx, dtokens, x_.rows(), linear_.out(), "gradient of tokens");
  each_tile(ctx, x_.rows(), linear_.in() + linear_.out(), [&](int64_t first, int64_t end) {
    const ConstView tile = dtokens.slice_rows(first, end);
    if (position_) add_positions_backward(ctx, tile, history_, later_, first, position_->grad);
    linear_.backward(ctx, x_.slice_rows(first, end), tile, GradMode::overwrite, dx.slice_rows(first, end));
  });
  if (position_) store_.ready(*position_);
  linear_.ready();
}

double TokenEncoder::forward_flops(int64_t tokens) const {
  return 2.0 * static_cast<double>(tokens) * static_cast<double>(linear_.in() * linear_.out());
}

namespace {

// Rows [first, first + rows) of the histories, which `later` has the ends of, where it has any.
void check_rows_of(const Jagged& history, const Jagged& later, int64_t first, int64_t rows) {
  LIME_CHECK(first >= 0 && first + rows <= history.rows(), "rows ", first, " + ", rows, " of ",
             history.rows());
  LIME_CHECK(later.segments() == 0 || later.segments() == history.segments(), later.segments(), " of ",
             history.segments(), " histories");
}

}  // namespace

void add_positions(Context& ctx, const ConstView& table, const Jagged& history, const Jagged& later,
                   int64_t first, View tokens) {
  check_shape(ctx, table, table.rows(), tokens.cols(), "positions");
  check_shape(ctx, tokens, tokens.rows(), table.cols(), "tokens");
  check_rows_of(history, later, first, tokens.rows());
  dispatch(
      ctx, "positions", [&](auto) { cpu::add_positions(table, history, later, first, tokens); },
      [&] { cuda::add_positions(ctx, table, history, later, first, tokens); });
}

void add_positions_backward(Context& ctx, const ConstView& dtokens, const Jagged& history,
                            const Jagged& later, int64_t first, View dtable) {
  check_shape(ctx, dtokens, dtokens.rows(), dtable.cols(), "gradient of tokens");
  check_parameter(ctx, dtable, dtable.rows(), dtokens.cols(), "gradient of positions");
  LIME_CHECK(dtable.rows() > 0 && dtable.contiguous(), "gradient of positions of ", dtable.rows(), " rows");
  check_rows_of(history, later, first, dtokens.rows());
  dispatch(
      ctx, "positions", [&](auto) { cpu::add_positions_backward(dtokens, history, later, first, dtable); },
      [&] { cuda::add_positions_backward(ctx, dtokens, history, later, first, dtable); });
}

}  // namespace lime
