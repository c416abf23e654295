// Offsets that are made on the host, where kernels can read them.
#pragma once

#include <cstdint>
#include <span>

#include "runtime/context.h"
#include "runtime/jagged.h"
#include "runtime/primitives.h"

namespace lime {

// `offsets` must outlive the result, and the context's arena must hold it.
inline Jagged on_device(Context& ctx, std::span<const int64_t> offsets) {
  if (ctx.device().type == DeviceType::cpu) return Jagged(offsets);
  const auto count = static_cast<int64_t>(offsets.size());
  const View there = ctx.arena().alloc(DType::i64, 1, count);
  copy(ctx, ConstView(offsets.data(), 1, count), there);
  return Jagged(offsets, there.data<int64_t>());
}

}  // namespace lime
