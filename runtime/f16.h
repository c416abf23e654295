// f16: an IEEE half, as files and caches store it. Converted by the vector kernels that read and write it.
#pragma once

#include <cstdint>

namespace lime {

struct f16 {
  uint16_t bits = 0;
  friend constexpr bool operator==(f16, f16) = default;  // of bits
};

}  // namespace lime
