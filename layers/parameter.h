// Parameters of the dense network: one flat buffer of values and one of gradients, in registration order.
//
// Where rows are bf16, values and gradients are f32, and what is multiplied with rows has a bf16 copy beside
// them: Parameter::value is what layers compute with, whatever the types; the optimizer updates values() and
// calls refresh(). Biases have such a copy too, for products that add them to rows.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <utility>

#include "runtime/context.h"
#include "runtime/tensor.h"

namespace lime {

enum class Init : uint8_t {
  zeros,  // biases, positions, and the last matrix of a branch beside a residual path
  ones,
  fan_in,  // normal, variance 1 / rows: a linear layer's weight [in, out]
  unit,    // normal, variance 1 / cols: an embedding-like row (links), of norm 1
  normal   // normal, variance 1: a weight that rows of norm 1 go through
};

enum class Role : uint8_t {
  weight,  // a matrix of products: of rows' type; weight decay applies to these alone
  rows,    // links, positions: of rows' type
  vector   // gains and biases, 1 x c: of the parameters' type
};

// Names say where and what: "interaction.block0.uqkv.weight". Fixed once registered; part of the checkpoint's
// format.
struct Parameter {
  std::string name;
  int64_t rows = 0, cols = 0;
  Init init = Init::zeros;
  Role role = Role::vector;
  int64_t index = 0;   // order of registration
  int64_t offset = 0;  // into the flat buffers, in elements
  // rows x cols, contiguous; set by allocate().
  View value;         // in the type that layers compute with; refresh() writes it where that is a copy
  View master, grad;  // in the parameters' type: parts of values() and grads()
  View in_rows;       // in rows' type: value itself, but for vectors

  bool decays() const { return role == Role::weight; }
};

class ParameterStore {
 public:
  // Parameters begin at multiples of this in the flat buffers, so that rows of every type are aligned for the
  // widest accesses. What lies between is 0 and stays so.
  static constexpr int64_t alignment = 64;

  // References stay valid. Throws Error on a name used twice.
  Parameter& add(std::string name, int64_t rows, int64_t cols, Init init, Role role);
  // Takes memory on the context's device and draws values: Philox keyed by (seed, name), so that adding
  // a parameter changes no other, and the same bits on every device.
  void allocate(Context&, uint64_t seed);
  // Instead of allocate(): the memory of another store with the same parameters, which must stay. So several
  // models compute with one set of weights at once, each with activations of its own.
  void share(const ParameterStore& other);
  // After values() changed: brings the copies of lower precision up to date. Nothing to do where there are
  // none.
  void refresh(Context&);

  int64_t count() const { return count_; }  // parameters, as numbers
  int64_t size() const { return size_; }    // of the flat buffers
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
  int64_t count_ = 0, size_ = 0;
  Tensor values_, grads_, copies_;  // copies: 1 x size of the rows' type, empty where that is the parameters'
  std::function<void(const Parameter&)> hook_;
};

}  // namespace lime
