#include "layers/item_rows.h"

#include "layers/cpu_kernels.h"
#include "layers/cuda_kernels.h"
#include "layers/dispatch.h"
#include "runtime/trace.h"

namespace lime {
namespace {

void check_rows(const Context& ctx, const ItemRows& rows, std::span<const int32_t> chosen) {
  LIME_CHECK(ctx.parameter_dtype() == DType::f32, "item rows are of f32, not ", to_string(ctx.dtype()));
  LIME_CHECK(rows.type != RowType::i8 || rows.scales, "rows of i8 without scales");
  for (const int32_t row : chosen) LIME_CHECK(0 <= row && row < rows.count, "row ", row, " of ", rows.count);
}

}  // namespace

void encode_rows(const ConstView& rows, int64_t weights, RowType type, void* values, float* scales) {
  LIME_CHECK(rows.dtype() == DType::f32 && rows.device() == Device{}, "item rows of ",
             to_string(rows.dtype()), " on ", to_string(rows.device()));
  LIME_CHECK(0 <= weights && weights <= rows.cols(), weights, " weights in a row of ", rows.cols());
  LIME_CHECK(type != RowType::i8 || scales, "no place for the scales of i8");
  cpu::encode_rows(rows, weights, type, values, scales);
}

void decode_rows(Context& ctx, const ItemRows& rows, std::span<const int32_t> chosen, View out) {
  check_rows(ctx, rows, chosen);
  check_shape(ctx, out, static_cast<int64_t>(chosen.size()), rows.columns(), "decoded rows");
  dispatch(
      ctx, "decode_rows", [&](auto) { cpu::decode_rows(rows, chosen, out); },
      [&] { cuda::decode_rows(ctx, rows, chosen, out); });
}

void score_rows(Context& ctx, const ItemRows& rows, std::span<const int32_t> chosen,
                const RequestShare& request, const ScoreTail& tail, View logits) {
  const TraceRange range(ctx, "score_rows");
  check_rows(ctx, rows, chosen);
  check_parameter(ctx, request.mix, rows.weights, rows.hidden, "mixture of a request");
  check_parameter(ctx, request.base, 1, rows.hidden, "base of a request");
  check_parameter(ctx, tail.out, tail.out.rows(), rows.hidden, "output weights");
  check_parameter(ctx, tail.bias, 1, tail.out.rows(), "output bias");
  check_parameter(ctx, logits, static_cast<int64_t>(chosen.size()), tail.out.rows(), "logits");
  dispatch(
      ctx, "score_rows", [&](auto) { cpu::score_rows(ctx, rows, chosen, request, tail, logits); },
      [&] { cuda::score_rows(ctx, rows, chosen, request, tail, logits); });
}

}  // namespace lime
