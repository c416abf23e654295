#include "runtime/tensor.h"

#include <gtest/gtest.h>

#include "runtime/context.h"
#include "runtime/jagged.h"

namespace lime {
namespace {

TEST(Tensor, IsZeroedAlignedAndContiguous) {
  for (const DType dtype : {DType::f32, DType::f64, DType::i64}) {
    const Tensor t({}, dtype, 5, 7);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(t.view().raw()) % 64, 0u);
    EXPECT_TRUE(t.view().contiguous());
    EXPECT_EQ(t.view().dtype(), dtype);
    const auto* bytes = static_cast<const char*>(t.view().raw());
    for (size_t i = 0; i < 35 * size_of(dtype); ++i) ASSERT_EQ(bytes[i], 0);
  }
}

TEST(Tensor, MayBeEmptyAndMoves) {
  EXPECT_TRUE(Tensor().view().empty());
  EXPECT_TRUE(Tensor({}, DType::f32, 0, 5).view().empty());
  Tensor a({}, DType::f32, 2, 3);
  a.view().row<float>(1)[2] = 4;
  const Tensor b = std::move(a);
  EXPECT_EQ(b.view().row<float>(1)[2], 4);
  EXPECT_THROW(Tensor({}, DType::f32, -1, 3), Error);
}

TEST(View, SlicesAddressTheSameMemory) {
  float values[12];
  for (int i = 0; i < 12; ++i) values[i] = static_cast<float>(i);
  const View all(values, 3, 4);
  const View slice = all.slice_rows(1, 3).slice_cols(1, 3);
  EXPECT_EQ(slice.rows(), 2);
  EXPECT_EQ(slice.cols(), 2);
  EXPECT_EQ(slice.stride(), 4);
  EXPECT_FALSE(slice.contiguous());
  EXPECT_EQ(slice.row<float>(0)[0], 5);
  EXPECT_EQ(slice.row<float>(1)[1], 10);
  slice.row<float>(1)[1] = -1;
  EXPECT_EQ(values[10], -1);
  EXPECT_TRUE(all.slice_cols(2, 2).empty());
}

TEST(View, RefusesWrongTypesAndBounds) {
  float values[6] = {};
  const View v(values, 2, 3);
  EXPECT_THROW(v.data<double>(), Error);
  EXPECT_THROW(v.slice_rows(0, 3), Error);
  EXPECT_THROW(v.slice_rows(-1, 1), Error);
  EXPECT_THROW(v.slice_cols(2, 1), Error);
  EXPECT_THROW(v.slice_cols(0, 4), Error);
}

TEST(Jagged, KnowsItsSegments) {
  const int64_t offsets[] = {0, 3, 3, 10};
  const Jagged jagged(offsets);
  EXPECT_EQ(jagged.segments(), 3);
  EXPECT_EQ(jagged.rows(), 10);
  EXPECT_EQ(jagged.length(1), 0);
  EXPECT_EQ(jagged.begin(2), 3);
  EXPECT_EQ(jagged.end(2), 10);
  EXPECT_EQ(jagged.device(), offsets);
  EXPECT_EQ(Jagged().segments(), 0);
  const int64_t late[] = {1, 2};
  EXPECT_THROW(Jagged{late}, Error);
}

TEST(Context, TileRowsAreAFunctionOfTheShape) {
  const Context ctx({}, DType::f32), ctx64({}, DType::f64);
  for (const int64_t cols : {1, 32, 128, 512, 4096, 1 << 20}) {
    const int64_t rows = ctx.tile_rows(cols);
    EXPECT_GE(rows, 32);
    if (cols <= 4096) {
      EXPECT_LE(rows * cols * 4, 2 << 20) << cols;
      EXPECT_EQ(rows % 16, 0);
      EXPECT_LE(ctx64.tile_rows(cols), rows);
    }
  }
  EXPECT_GT(ctx.tile_rows(0), 0);
}

TEST(Context, ZerosAreZerosOnReusedMemory) {
  Context ctx({}, DType::f64);
  View a = ctx.alloc(4, 5);
  for (int i = 0; i < 20; ++i) a.data<double>()[i] = 7;
  ctx.arena().reset();
  const View z = ctx.zeros(4, 5);
  ASSERT_EQ(z.raw(), a.raw());
  for (int i = 0; i < 20; ++i) EXPECT_EQ(z.data<double>()[i], 0);
}

}  // namespace
}  // namespace lime
