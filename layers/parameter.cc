#include "layers/parameter.h"

#include <algorithm>
#include <cmath>

#include "runtime/philox.h"
#include "runtime/primitives.h"

namespace lime {
namespace {

template <typename T>
void draw(const Parameter& p, uint64_t seed, T* out) {
  const int64_t n = p.rows * p.cols;
  if (p.init == Init::zeros || p.init == Init::ones) {
    std::fill(out, out + n, p.init == Init::ones ? T{1} : T{0});
    return;
  }
  const double fan = static_cast<double>(p.init == Init::fan_in ? p.rows : p.init == Init::unit ? p.cols : 1);
  const double deviation = 1.0 / std::sqrt(fan);
  const Philox random(seed, stream_of(p.name));
  for (int64_t i = 0; i < n; ++i)
    out[i] = static_cast<T>(deviation * random.normal(static_cast<uint64_t>(i)));
}

// The parameter's part of a flat buffer.
View part_of(const View& flat, const Parameter& p) {
  const View part = flat.slice_cols(p.offset, p.offset + p.rows * p.cols);
  return {part.raw(), part.dtype(), part.device(), p.rows, p.cols, p.cols};
}

}  // namespace

Parameter& ParameterStore::add(std::string name, int64_t rows, int64_t cols, Init init, Role role) {
  LIME_CHECK(rows >= 0 && cols >= 0, name, " is ", rows, "x", cols);
  LIME_CHECK(values_.rows() == 0, name, " is registered after allocate()");
  LIME_CHECK(role != Role::vector || rows == 1, name, " has ", rows, " rows: not a vector");
  for (const auto& p : parameters_) LIME_CHECK(p.name != name, "parameter ", name, " is registered twice");
  Parameter& p = parameters_.emplace_back();
  p.name = std::move(name);
  p.rows = rows, p.cols = cols, p.init = init, p.role = role;
  p.index = static_cast<int64_t>(parameters_.size()) - 1;
  p.offset = size_;
  count_ += rows * cols;
  size_ += (rows * cols + alignment - 1) / alignment * alignment;
  return p;
}

void ParameterStore::allocate(Context& ctx, uint64_t seed) {
  const DType type = ctx.parameter_dtype();
  values_ = Tensor(ctx.device(), type, 1, size_);
  grads_ = Tensor(ctx.device(), type, 1, size_);
  if (ctx.dtype() != type) copies_ = Tensor(ctx.device(), ctx.dtype(), 1, size_);
  const Tensor drawn(Device{}, type, 1, size_);
  for (auto& p : parameters_) {
    p.master = part_of(values_, p), p.grad = part_of(grads_, p);
    p.in_rows = copies_.cols() > 0 ? part_of(copies_, p) : p.master;
    p.value = p.role != Role::vector ? p.in_rows : p.master;
    const View values = part_of(drawn, p);
    type == DType::f32 ? draw(p, seed, values.data<float>()) : draw(p, seed, values.data<double>());
  }
  copy(ctx, drawn.view(), values_);
  refresh(ctx);
}

void ParameterStore::share(const ParameterStore& other) {
  LIME_CHECK(parameters_.size() == other.parameters_.size(), parameters_.size(),
             " parameters share those of ", other.parameters_.size());
  for (size_t i = 0; i < parameters_.size(); ++i) {
    Parameter& mine = parameters_[i];
    const Parameter& theirs = other.parameters_[i];
    LIME_CHECK(mine.name == theirs.name && mine.rows == theirs.rows && mine.cols == theirs.cols, mine.name,
               " shares ", theirs.name);
    mine.value = theirs.value, mine.master = theirs.master, mine.grad = theirs.grad;
    mine.in_rows = theirs.in_rows;
  }
}

void ParameterStore::refresh(Context& ctx) {
  if (copies_.cols() > 0) copy(ctx, values_.view(), copies_);
}

}  // namespace lime
