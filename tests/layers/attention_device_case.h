// What the tests of attention kernels on a CUDA device share: shapes, tolerances, and jagged histories there.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <vector>

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
// The generic kernels round results to 8 bits, and weights to 11; but softmax takes delta, a difference of
// like numbers where the history is short, from rounded outputs; so with tensor cores, which round weights
// too.
// The one weight of a history of one row is 1 but for rounding, and its gradient 0.
inline constexpr Tolerance bf16_tolerance{1.0 / 256, 1.0 / 128}, bf16_softmax{1.0 / 128, 1.0 / 32, 1e-5};
// Tensor cores have weights rounded to 8 bits and a tanh of 11: of a few terms, some are several times their
// root mean square. In tiles, sums of links are rounded twice.
inline constexpr Tolerance mma_tolerance{1.0 / 256, 1.0 / 32}, mma_tiles_tolerance{2.0 / 256, 1.0 / 32};
inline constexpr Tolerance mma_softmax = bf16_softmax;

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

// Around squares of 32 and chunks of 256 rows.
inline const std::vector<Case> odd_shapes = {
    {{4}, 1, 1, 1},        {{0, 1, 5}, 2, 3, 5}, {{33, 0, 70, 2}, 2, 7, 4},
    {{64, 31}, 1, 32, 32}, {{17, 0}, 1, 33, 70}, {{2, 513, 1}, 1, 5, 8}};
// One chunk and several, one warp a row and several; what warpgroups take; tiles that begin and end within
// requests.
inline const std::vector<Case> mma_shapes = {{{1}, 1, 16, 32},
                                             {{63, 64, 128, 257}, 1, 16, 32},
                                             {{70, 0, 1, 33}, 2, 16, 32},
                                             {{0, 260, 5}, 1, 32, 32},
                                             {{65}, 2, 48, 64},
                                             {{50}, 1, 80, 128},
                                             {{17}, 1, 128, 128}};
inline const std::vector<Case> wgmma_shapes = {
    {{256, 0, 257}, 1, 64, 32}, {{1, 81, 16}, 2, 64, 64}, {{300, 3}, 1, 128, 32}, {{0, 129, 64}, 1, 128, 64}};
inline const std::vector<Case> tile_shapes = {
    {{70, 0, 1, 50}, 1, 16, 32}, {{33, 40}, 2, 64, 64}, {{100, 70}, 1, 128, 64}};

// Shapes and views that tensor cores cannot take are left to the generic kernel. `take` is given two matrices
// of 8 history rows, and two of links, and says whether the kernel took them.
using Take = std::function<bool(Context&, const Jagged& history, int64_t links, const View (&of_history)[2],
                                const View (&of_links)[2])>;
inline void expect_what_mma_takes(const Take& take) {
  Context ctx({DeviceType::cuda, 0});
  const DeviceJagged history(ctx, {0, 8});
  const auto takes = [&](int64_t width, int64_t links, DType type, int64_t column) {
    const Tensor memory(ctx.device(), type, 8 + links, 2 * width + 8);
    const View a = memory.view().slice_cols(column, column + width),
               b = memory.view().slice_cols(column + width, column + 2 * width);
    return take(ctx, history, links, {a.slice_rows(0, 8), b.slice_rows(0, 8)},
                {a.slice_rows(8, 8 + links), b.slice_rows(8, 8 + links)});
  };
  EXPECT_TRUE(takes(32, 16, DType::bf16, 0));
  EXPECT_TRUE(takes(128, 128, DType::bf16, 8));
  EXPECT_FALSE(takes(32, 16, DType::bf16, 1));
  EXPECT_FALSE(takes(32, 16, DType::f32, 0));
  EXPECT_FALSE(takes(48, 16, DType::bf16, 0));
  EXPECT_FALSE(takes(32, 20, DType::bf16, 0));
  EXPECT_FALSE(takes(32, 8, DType::bf16, 0));
  EXPECT_FALSE(takes(32, 144, DType::bf16, 0));
}

}  // namespace lime
