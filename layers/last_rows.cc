#include "layers/last_rows.h"

#include "layers/cuda_kernels.h"
#include "layers/dispatch.h"
#include "runtime/primitives.h"
#include "runtime/trace.h"

namespace lime {
namespace {

void check(const Context& ctx, const ConstView& x, const Jagged& of_x, const Jagged& of_y,
           const ConstView& y) {
  LIME_CHECK(of_x.segments() == of_y.segments(), of_y.segments(), " segments of ", of_x.segments());
  check_shape(ctx, x, of_x.rows(), x.cols(), "rows");
  check_shape(ctx, y, of_y.rows(), x.cols(), "last rows");
  for (int64_t b = 0; b < of_x.segments(); ++b)
    LIME_CHECK(of_y.length(b) <= of_x.length(b), "the last ", of_y.length(b), " of ", of_x.length(b),
               " rows");
}

// Calls f(first of the last rows of x, first row of y, rows) for every segment.
template <typename F>
void each_segment(const Jagged& of_x, const Jagged& of_y, F f) {
  for (int64_t b = 0; b < of_x.segments(); ++b)
    f(of_x.end(b) - of_y.length(b), of_y.begin(b), of_y.length(b));
}

}  // namespace

void last_rows(Context& ctx, const ConstView& x, const Jagged& of_x, const Jagged& of_y, View y) {
  const TraceRange range(ctx, "last_rows");
  check(ctx, x, of_x, of_y, y);
  dispatch(
      ctx, "last_rows",
      [&](auto) {
        each_segment(of_x, of_y, [&](int64_t from, int64_t to, int64_t n) {
          copy(ctx, x.slice_rows(from, from + n), y.slice_rows(to, to + n));
        });
      },
      [&] { cuda::last_rows(ctx, x, of_x, of_y, y); });
}

void last_rows_backward(Context& ctx, const ConstView& dy, const Jagged& of_x, const Jagged& of_y, View dx) {
  const TraceRange range(ctx, "last_rows_backward");
  check(ctx, dx, of_x, of_y, dy);
  dispatch(
      ctx, "last_rows_backward",
      [&](auto) {
        fill(ctx, dx, 0);
        each_segment(of_x, of_y, [&](int64_t to, int64_t from, int64_t n) {
          copy(ctx, dy.slice_rows(from, from + n), dx.slice_rows(to, to + n));
        });
      },
      [&] { cuda::last_rows_backward(ctx, dy, of_x, of_y, dx); });
}

}  // namespace lime
