// What host code reads of tensors that may be on a device.
#pragma once

#include "runtime/context.h"
#include "runtime/tensor.h"

namespace lime {

// The values in host memory, contiguous. Waits for the device.
Tensor host_copy(Context&, const ConstView& values);

}  // namespace lime
