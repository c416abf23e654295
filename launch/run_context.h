// RunContext: the context that a configuration asks for.
#pragma once

#include "model/config.h"
#include "runtime/context.h"

namespace lime {

// With rows of train.precision; tf32 is f32 whose products may round their inputs. Throws UserError where the
// device is not available.
class RunContext : public Context {
 public:
  RunContext(Device device, const Config& config) : RunContext(device, config.train.precision) {}
  RunContext(Device device, Precision precision)
      : Context(device, precision == Precision::bf16 ? DType::bf16 : DType::f32) {
    allow_tf32(precision == Precision::tf32);
  }
};

}  // namespace lime
