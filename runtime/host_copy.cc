#include "runtime/host_copy.h"

#include "runtime/primitives.h"

namespace lime {

Tensor host_copy(Context& ctx, const ConstView& values) {
  Tensor host(Device{}, values.dtype(), values.rows(), values.cols());
  copy(ctx, values, host);
  ctx.synchronize();
  return host;
}

}  // namespace lime
