// Parameters of the dense network: one flat buffer of values and one of gradients, in registration order.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "runtime/context.h"
#include "runtime/tensor.h"

namespace lime {

enum class Init : uint8_t {
  zeros,
  ones,
  fan_in,  // normal, variance 1 / rows: a linear layer's weight [in, out]
  unit     // normal, variance 1 / cols: an embedding-like row (links)
};

// Names say where and what: "interaction.block0.uqkv.weight". Fixed once registered; part of the checkpoint's
// format.
struct Parameter {
  std::string name;
  int64_t rows = 0, cols = 0;
  Init init = Init::zeros;
  bool decay = false;  // weight decay applies (matrices), or not (biases, gains, links, positions)
  int64_t index = 0;   // order of registration
  int64_t offset = 0;  // into the flat buffers, in elements
  View value, grad;    // rows x cols, contiguous; set by allocate()
};

class ParameterStore {
 public:
  // References stay valid. Throws Error on a name used twice.
  Parameter& add(std::string name, int64_t rows, int64_t cols, Init init, bool decay);
  // Takes memory of the context's compute type and draws values: Philox keyed by (seed, name), so that adding
  // a parameter changes no other.
  void allocate(Context&, uint64_t seed);

  int64_t size() const { return size_; }  // elements in all
  const std::deque<Parameter>& all() const { return parameters_; }
  std::deque<Parameter>& all() { return parameters_; }
  View values() const { return values_; }  // 1 x size
  View grads() const { return grads_; }    // 1 x size

  // Layers call ready() when a parameter's gradient is final for this backward; the hook passes it on
  // (gradient buckets).
  void ready(const Parameter& parameter) const {
    if (hook_) hook_(parameter);
  }
  void on_ready(std::function<void(const Parameter&)> hook) { hook_ = std::move(hook); }

 private:
  std::deque<Parameter> parameters_;
  int64_t size_ = 0;
  Tensor value_memory_, grad_memory_;
  View values_, grads_;
  std::function<void(const Parameter&)> hook_;
};

}  // namespace lime
