#include "layers/gradient_clip.h"

#include <cmath>
#include <limits>

#include "layers/cuda_kernels.h"
#include "layers/dispatch.h"

namespace lime {

void clip_scale(Context& ctx, const ConstView& squares, double max_norm, View scale) {
  check_view(ctx, squares, 1, 1, DType::f64, "sum of squares");
  check_view(ctx, scale, 1, 1, DType::f64, "gradient scale");
  dispatch(
      ctx, "clip_scale",
      [&](auto) {
        const double norm = std::sqrt(*squares.data<double>());
        double& s = *scale.data<double>();
        const bool good = std::isfinite(norm) && std::isfinite(s);
        s = !good                             ? std::numeric_limits<double>::quiet_NaN()
            : max_norm > 0 && norm > max_norm ? max_norm / norm
                                              : 1.0;
      },
      [&] { cuda::clip_scale(ctx, squares, max_norm, scale); });
}

}  // namespace lime
