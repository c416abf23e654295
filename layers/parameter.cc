#include "layers/parameter.h"

#include <cmath>

#include "layers/dispatch.h"
#include "runtime/philox.h"

namespace lime {
namespace {

template <typename T>
void draw(const Parameter& p, uint64_t seed, T* out) {
  const int64_t n = p.rows * p.cols;
  if (p.init == Init::zeros || p.init == Init::ones) {
    std::fill(out, out + n, p.init == Init::ones ? T{1} : T{0});
    return;
  }
  const double fan = static_cast<double>(p.init == Init::fan_in ? p.rows : p.cols);
  const double deviation = 1.0 / std::sqrt(fan);
  const Philox random(seed, stream_of(p.name));
  for (int64_t i = 0; i < n; ++i)
    out[i] = static_cast<T>(deviation * random.normal(static_cast<uint64_t>(i)));
}

}  // namespace

Parameter& ParameterStore::add(std::string name, int64_t rows, int64_t cols, Init init, bool decay) {
  LIME_CHECK(rows >= 0 && cols >= 0, name, " is ", rows, "x", cols);
  LIME_CHECK(values_.rows() == 0, name, " is registered after allocate()");
  for (const auto& p : parameters_) LIME_CHECK(p.name != name, "parameter ", name, " is registered twice");
  Parameter& p = parameters_.emplace_back();
  p.name = std::move(name);
  p.rows = rows, p.cols = cols, p.init = init, p.decay = decay;
  p.index = static_cast<int64_t>(parameters_.size()) - 1;
  p.offset = size_;
  size_ += rows * cols;
  return p;
}

void ParameterStore::allocate(Context& ctx, uint64_t seed) {
  value_memory_ = Tensor(ctx.device(), ctx.dtype(), 1, size_);
  grad_memory_ = Tensor(ctx.device(), ctx.dtype(), 1, size_);
  values_ = value_memory_, grads_ = grad_memory_;
  dispatch_cpu(ctx, "parameters", [&](auto zero) {
    using T = decltype(zero);
    for (auto& p : parameters_) {
      p.value = View(values_.data<T>() + p.offset, p.rows, p.cols);
      p.grad = View(grads_.data<T>() + p.offset, p.rows, p.cols);
      draw(p, seed, values_.data<T>() + p.offset);
    }
  });
}

}  // namespace lime
