// What primitives refuse.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/primitives.h"

namespace lime {
namespace {

class Refusals : public testing::Test {
 protected:
  View f32(int64_t rows, int64_t cols) { return ctx.arena().alloc(DType::f32, rows, cols); }
  View f64(int64_t rows, int64_t cols) { return ctx.arena().alloc(DType::f64, rows, cols); }
  Context ctx;
};

TEST_F(Refusals, Shapes) {
  EXPECT_THROW(gemm(ctx, Transpose::no, Transpose::no, 1, f32(2, 3), f32(4, 5), 0, f32(2, 5)), Error);
  EXPECT_THROW(gemm(ctx, Transpose::yes, Transpose::no, 1, f32(3, 2), f32(3, 5), 0, f32(3, 5)), Error);
  EXPECT_THROW(copy(ctx, f32(2, 3), f32(3, 2)), Error);
  EXPECT_THROW(add(ctx, f32(2, 3), f32(2, 4)), Error);
  EXPECT_THROW(multiply(ctx, f32(2, 3), f32(2, 4), f32(2, 3)), Error);
  EXPECT_THROW(silu(ctx, f32(2, 3), f32(1, 3)), Error);
  EXPECT_THROW(add_bias(ctx, f32(2, 3), f32(2, 3)), Error);
  EXPECT_THROW(column_sum(ctx, f32(2, 3), GradMode::overwrite, f32(1, 2)), Error);
  EXPECT_THROW(layer_norm(ctx, f32(2, 3), f32(1, 3), f32(1, 3), 1e-5, f32(2, 3), f32(1, 2), f32(2, 1)),
               Error);
  const int64_t offsets[] = {0, 2};
  EXPECT_THROW(segment_mean(ctx, f32(3, 3), Jagged(offsets), f32(1, 3)), Error);
  EXPECT_THROW(repeat_rows(ctx, f32(2, 3), Jagged(offsets), f32(2, 3)), Error);
}

TEST_F(Refusals, NameTheShapes) {
  try {
    gemm(ctx, Transpose::no, Transpose::yes, 1, f32(2, 3), f32(5, 4), 0, f32(2, 5));
    FAIL();
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), testing::HasSubstr("gemm: op(a) is 2x3, op(b) is 4x5"));
  }
}

TEST_F(Refusals, MixedTypes) {
  EXPECT_THROW(add(ctx, f32(2, 3), f64(2, 3)), Error);
  EXPECT_THROW(gemm(ctx, Transpose::no, Transpose::no, 1, f32(2, 3), f64(3, 5), 0, f32(2, 5)), Error);
  int64_t ids[4] = {};
  EXPECT_THROW(fill(ctx, View(ids, 2, 2), 1), Error);
  const View half = ctx.arena().alloc(DType::bf16, 2, 3);  // the CPU converts it, and no more
  EXPECT_THROW(add(ctx, half, half), Error);
  EXPECT_THROW(add_bias(ctx, f64(1, 3), f32(2, 3)), Error);
}

TEST_F(Refusals, TensorsElsewhere) {
  float values[4] = {};
  const View elsewhere(values, DType::f32, {DeviceType::cuda, 0}, 2, 2, 2);
  EXPECT_THROW(fill(ctx, elsewhere, 1), Error);
  EXPECT_THROW(copy(ctx, f32(2, 2), elsewhere), Error);
}

}  // namespace
}  // namespace lime
