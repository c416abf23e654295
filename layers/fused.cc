#include "layers/fused.h"

#include "layers/cpu_kernels.h"
#include "layers/cuda_kernels.h"
#include "layers/dispatch.h"

namespace lime {

void bias_silu_keep(Context& ctx, const ConstView& bias, const ConstView& z, View kept, View a) {
  check_parameter(ctx, bias, 1, z.cols(), "bias");
  check_shape(ctx, z, z.rows(), z.cols(), "z");
  check_shape(ctx, kept, z.rows(), z.cols(), "kept");
  check_shape(ctx, a, z.rows(), z.cols(), "a");
  dispatch(
      ctx, "bias_silu_keep", [&](auto) { cpu::bias_silu_keep(bias, z, kept, a); },
      [&] { cuda::bias_silu_keep(ctx, bias, z, kept, a); });
}

void silu_with_slope(Context& ctx, const ConstView& bias, const ConstView& z, View a, View slope) {
  check_parameter(ctx, bias, 1, z.cols(), "bias");
  check_shape(ctx, z, z.rows(), z.cols(), "z");
  check_shape(ctx, a, z.rows(), z.cols(), "a");
  check_shape(ctx, slope, z.rows(), z.cols(), "slope");
  dispatch_cpu(ctx, "silu_with_slope", [&](auto) { cpu::silu_with_slope(bias, z, a, slope); });
}

void multiply_slope(Context& ctx, const ConstView& bias, const ConstView& z, const ConstView& slope, View dz,
                    View dbias) {
  check_parameter(ctx, bias, 1, dz.cols(), "bias");
  check_shape(ctx, z, dz.rows(), dz.cols(), "z");
  check_shape(ctx, dz, dz.rows(), dz.cols(), "dz");
  check_parameter(ctx, dbias, 1, dz.cols(), "dbias");
  dispatch(
      ctx, "multiply_slope",
      [&](auto) {
        check_shape(ctx, slope, dz.rows(), dz.cols(), "slope");
        cpu::multiply_slope(slope, dz, dbias);
      },
      [&] { cuda::multiply_slope(ctx, bias, z, dz, dbias); });
}

void normalise(Context& ctx, const ConstView& gain, const ConstView& bias, const ConstView& mean,
               const ConstView& rstd, const ConstView& x, View y) {
  check_shape(ctx, x, y.rows(), y.cols(), "x");
  check_shape(ctx, y, y.rows(), y.cols(), "y");
  check_parameter(ctx, gain, 1, y.cols(), "gain");
  check_parameter(ctx, bias, 1, y.cols(), "bias");
  check_parameter(ctx, mean, y.rows(), 1, "mean");
  check_parameter(ctx, rstd, y.rows(), 1, "rstd");
  dispatch(
      ctx, "normalise", [&](auto) { cpu::normalise(gain, bias, mean, rstd, x, y); },
      [&] { cuda::normalise(ctx, gain, bias, mean, rstd, x, y); });
}

void gated_norm(Context& ctx, const GatedNorm& norm, const ConstView& x, const ConstView& u, View y) {
  check_shape(ctx, x, y.rows(), y.cols(), "x");
  check_shape(ctx, u, y.rows(), y.cols(), "u");
  check_shape(ctx, y, y.rows(), y.cols(), "y");
  check_parameter(ctx, norm.gain, 1, y.cols(), "gain");
  check_parameter(ctx, norm.mean, y.rows(), 1, "mean");
  dispatch(
      ctx, "gated_norm", [&](auto) { cpu::gated_norm(norm, x, u, y); },
      [&] { cuda::gated_norm(ctx, norm, x, u, y); });
}

void gated_norm_backward(Context& ctx, const GatedNorm& norm, const ConstView& x, const ConstView& u,
                         const ConstView& dy, View y, View du, View dx, View dgain, View dbias) {
  for (const ConstView& v : {x, u, dy, ConstView(du), ConstView(dx)})
    check_shape(ctx, v, x.rows(), x.cols(), "rows");
  if (y.cols() > 0) check_shape(ctx, y, x.rows(), x.cols(), "y");
  for (const ConstView& v : {norm.gain, norm.bias, ConstView(dgain), ConstView(dbias)})
    check_parameter(ctx, v, 1, x.cols(), "parameter");
  check_parameter(ctx, norm.mean, x.rows(), 1, "mean");
  check_parameter(ctx, norm.rstd, x.rows(), 1, "rstd");
  dispatch(
      ctx, "gated_norm_backward",
      [&](auto) { cpu::gated_norm_backward(norm, x, u, dy, y, du, dx, dgain, dbias); },
      [&] { cuda::gated_norm_backward(ctx, norm, x, u, dy, y, du, dx, dgain, dbias); });
}

void add_residual(Context& ctx, const ConstView& x, const ConstView& y, const ConstView& bias, View kept) {
  check_shape(ctx, x, kept.rows(), kept.cols(), "x");
  check_shape(ctx, y, kept.rows(), kept.cols(), "y");
  check_parameter(ctx, bias, 1, kept.cols(), "bias");
  check_shape(ctx, kept, kept.rows(), kept.cols(), "kept");
  dispatch(
      ctx, "add_residual", [&](auto) { cpu::add_residual(x, y, bias, kept); },
      [&] { cuda::add_residual(ctx, x, y, bias, kept); });
}

}  // namespace lime
