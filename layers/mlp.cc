#include "layers/mlp.h"

#include "layers/dispatch.h"

namespace lime {

Mlp::Mlp(ParameterStore& store, const std::string& name, int64_t in, int64_t hidden, int64_t out,
         Init out_weight)
    : hidden_(store, name + ".hidden", in, hidden),
      out_(store, name + ".out", hidden, out, true, out_weight) {}

void Mlp::forward(Context& ctx, const ConstView& x, View y) {
  x_ = x;
  View z = ctx.alloc(x.rows(), hidden());
  add_part(ctx, 0, x, GradMode::overwrite, z);
  finish(ctx, z, y);
}

void Mlp::backward(Context& ctx, const ConstView& dy, GradMode input, View dx) {
  const Arena::Scope scope(ctx.arena());
  View dz = ctx.alloc(dy.rows(), hidden());
  finish_backward(ctx, dy, dz);
  add_part_backward(ctx, 0, x_, dz, input, dx);
}

void Mlp::add_part(Context& ctx, int64_t first_row, const ConstView& x, GradMode mode, View z) const {
  hidden_.rows(first_row, first_row + x.cols()).multiply(ctx, x, mode, z);
}

void Mlp::finish(Context& ctx, View z, View y) {
  check_shape(ctx, z, y.rows(), hidden(), "hidden layer");
  z_ = z;
  activated_ = ctx.alloc(z.rows(), z.cols());
  bias_silu(ctx, hidden_.all().bias, z, activated_);
  out_.forward(ctx, activated_, y);
}

void Mlp::finish_backward(Context& ctx, const ConstView& dy, View dz) {
  check_shape(ctx, dy, z_.rows(), out_.out(), "gradient of MLP output");
  out_.backward(ctx, activated_, dy, GradMode::overwrite, dz);
  silu_backward(ctx, z_, dz, dz);
  hidden_.all().backward_bias(ctx, dz);
}

void Mlp::add_part_backward(Context& ctx, int64_t first_row, const ConstView& x, const ConstView& dz,
                            GradMode mode, View dx) const {
  const LinearPart part = hidden_.rows(first_row, first_row + x.cols());
  part.backward_weight(ctx, x, dz);
  part.backward_input(ctx, dz, mode, dx);
}

void Mlp::ready() const {
  out_.ready();
  hidden_.ready();
}

double Mlp::forward_flops(int64_t rows) const {
  const auto n = static_cast<double>(rows), h = static_cast<double>(hidden());
  return 2 * n * h * static_cast<double>(hidden_.in() + out_.out());
}

}  // namespace lime
