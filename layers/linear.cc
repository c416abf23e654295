#include "layers/linear.h"

#include "layers/dispatch.h"
#include "runtime/linear_products.h"

namespace lime {
namespace {

// Of rows' or of the parameters' type.
void check_output(const Context& ctx, const ConstView& v, int64_t rows, int64_t cols, const char* what) {
  check_view(ctx, v, rows, cols, v.dtype() == ctx.parameter_dtype() ? v.dtype() : ctx.dtype(), what);
}

double beta_of(GradMode mode) { return mode == GradMode::accumulate ? 1.0 : 0.0; }

}  // namespace

ConstView in_row_type(Context& ctx, const ConstView& x) {
  if (x.dtype() == ctx.dtype()) return x;
  const View rows = ctx.alloc(x.rows(), x.cols());
  copy(ctx, x, rows);
  return rows;
}

void LinearPart::multiply(Context& ctx, const ConstView& x, GradMode mode, View y) const {
  check_shape(ctx, x, y.rows(), weight.rows(), "linear input");
  check_output(ctx, y, y.rows(), weight.cols(), "linear output");
  if (weight.rows() == 0) {  // a sum of no products
    if (mode == GradMode::overwrite) fill(ctx, y, 0);
    return;
  }
  gemm(ctx, Transpose::no, Transpose::no, 1, x, weight, beta_of(mode), y);
}

void LinearPart::forward(Context& ctx, const ConstView& x, View y) const {
  if (bias.empty() || weight.rows() == 0) {
    multiply(ctx, x, GradMode::overwrite, y);
    return add_bias(ctx, y);
  }
  check_shape(ctx, x, y.rows(), weight.rows(), "linear input");
  check_output(ctx, y, y.rows(), weight.cols(), "linear output");
  gemm_bias(ctx, x, weight, {bias, bias_in_rows}, y);
}

bool LinearPart::forward_onto(Context& ctx, const ConstView& onto, const ConstView& x, View y) const {
  check_shape(ctx, x, y.rows(), weight.rows(), "linear input");
  check_shape(ctx, y, y.rows(), weight.cols(), "linear output");
  return gemm_bias_onto(ctx, x, weight, {bias, bias_in_rows}, onto, y);
}

void LinearPart::add_bias(Context& ctx, View y) const {
  if (!bias.empty()) lime::add_bias(ctx, bias, y);
}

void LinearPart::backward_weight(Context& ctx, const ConstView& x, const ConstView& dy) const {
  check_shape(ctx, x, dy.rows(), weight.rows(), "linear input");
  check_shape(ctx, dy, dy.rows(), weight.cols(), "gradient of linear output");
  if (x.empty()) return;
  gemm(ctx, Transpose::yes, Transpose::no, 1, x, dy, 1, dweight);
}

void LinearPart::backward_parameters(Context& ctx, const ConstView& x, const ConstView& dy) const {
  if (bias.empty() || x.empty()) {
    backward_weight(ctx, x, dy);
    return backward_bias(ctx, dy);
  }
  check_shape(ctx, x, dy.rows(), weight.rows(), "linear input");
  check_shape(ctx, dy, dy.rows(), weight.cols(), "gradient of linear output");
  gemm_bias_gradient(ctx, x, dy, dweight, dbias);
}

void LinearPart::backward_bias(Context& ctx, const ConstView& dy) const {
  if (!bias.empty() && dy.rows() > 0) column_sum(ctx, dy, GradMode::accumulate, dbias);
}

void LinearPart::backward_input(Context& ctx, const ConstView& dy, GradMode mode, View dx) const {
  check_output(ctx, dx, dy.rows(), weight.rows(), "gradient of linear input");
  if (dx.empty()) return;
  gemm(ctx, Transpose::no, Transpose::yes, 1, dy, weight, beta_of(mode), dx);
}

Linear::Linear(ParameterStore& store, const std::string& name, int64_t in, int64_t out, bool bias,
               Init weight)
    : store_(store), weight_(store.add(name + ".weight", in, out, weight, Role::weight)) {
  if (bias) bias_ = &store.add(name + ".bias", 1, out, Init::zeros, Role::vector);
}

LinearPart Linear::part(int64_t r0, int64_t r1, int64_t c0, int64_t c1) const {
  LinearPart p;
  p.weight = weight_.value.slice_rows(r0, r1).slice_cols(c0, c1);
  p.dweight = weight_.grad.slice_rows(r0, r1).slice_cols(c0, c1);
  if (bias_) p.bias = bias_->value.slice_cols(c0, c1), p.dbias = bias_->grad.slice_cols(c0, c1);
  if (bias_) p.bias_in_rows = bias_->in_rows.slice_cols(c0, c1);
  return p;
}

void Linear::forward(Context& ctx, const ConstView& x, View y) const { all().forward(ctx, x, y); }

void Linear::backward(Context& ctx, const ConstView& x, const ConstView& dy, GradMode input, View dx) const {
  const LinearPart p = all();
  p.backward_parameters(ctx, x, dy);
  p.backward_input(ctx, dy, input, dx);
}

void Linear::set_bias(Context& ctx, std::span<const double> values) {
  LIME_CHECK(bias_ && static_cast<int64_t>(values.size()) == out(), weight_.name, ": ", values.size(),
             " values of a bias");
  for (int64_t k = 0; k < out(); ++k)
    fill(ctx, bias_->master.slice_cols(k, k + 1), values[static_cast<size_t>(k)]);
  store_.refresh(ctx);
}

void Linear::ready() const {
  if (bias_) store_.ready(*bias_);
  store_.ready(weight_);
}

}  // namespace lime
