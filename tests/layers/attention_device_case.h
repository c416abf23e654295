// What the tests of attention kernels on a CUDA device share: shapes, tolerances, and jagged histories there.
#pragma once

#include <gtest/gtest.h>

#include "runtime/wgmma.h"
#include "tests/layers/device_buffer.h"

namespace lime {

struct Case {
  std::vector<int64_t> lengths;
  int64_t heads, links, head_width;
  int64_t width() const { return heads * head_width; }
};

inline void PrintTo(const Case& c, std::ostream* out) {
  *out << c.heads << " heads of " << c.head_width << ", " << c.links << " links, histories of";
  for (const int64_t n : c.lengths) *out << ' ' << n;
}

// Sums of at most a few hundred terms.
inline constexpr Tolerance f64_tolerance{1e-13, 1e-12}, f32_tolerance{1e-6, 1e-5};
// What is multiplied has 11 bits: of a few terms, some are several times their root mean square.
inline constexpr Tolerance tf32_tolerance{1.0 / 1024, 1.0 / 128};
// The generic kernels round results to 8 bits, and weights to 11; but softmax takes delta, a difference of like numbers
// where the history is short, from rounded outputs; so with tensor cores, which round weights too.
inline constexpr Tolerance bf16_tolerance{1.0 / 256, 1.0 / 128}, bf16_softmax{1.0 / 128, 1.0 / 32};
// Tensor cores have weights rounded to 8 bits and a tanh of 11: of a few terms, some are several times their
// root mean square. In tiles, sums of links are rounded twice.
inline constexpr Tolerance mma_tolerance{1.0 / 256, 1.0 / 32}, mma_tiles_tolerance{2.0 / 256, 1.0 / 32};
// The one weight of a history of one row is 1 but for rounding, and its gradient 0.
inline constexpr Tolerance mma_softmax{1.0 / 128, 1.0 / 32, 1e-5};

class OnCuda : public DeviceTest, public testing::WithParamInterface<Case> {
 protected:
  OnCuda() : DeviceTest({DeviceType::cuda, 0}), shape(GetParam()), history(ctx, offsets_of(shape.lengths)) {
    for (size_t b = 0; b <= shape.lengths.size(); ++b)
      link_offsets.push_back(static_cast<int64_t>(b) * shape.links);
  }
  const Jagged& jagged() const { return history; }
  int64_t rows() const { return jagged().rows(); }
  int64_t link_rows() const { return link_offsets.back(); }
  std::vector<int64_t> offsets() const { return {jagged().host().begin(), jagged().host().end()}; }

  // Products of warps where those of warpgroups would do.
  static void forbid_wgmma() { cuda::allow_wgmma(false); }
  void TearDown() override { cuda::allow_wgmma(true); }

  Case shape;
  DeviceJagged history;
  std::vector<int64_t> link_offsets;
};

// Of a device: any kernels that take the call, or those with tensor cores.
enum class Kernels { any, mma };

}  // namespace lime
