#include "runtime/tensor.h"

#include <gtest/gtest.h>

#include "runtime/context.h"
#include "runtime/jagged.h"
#include "runtime/memory.h"
#include "tests/support/device_support.h"

namespace lime {
namespace {

class OnDevice : public DeviceTest, public testing::WithParamInterface<Device> {
 protected:
  explicit OnDevice(DType compute = DType::f64) : DeviceTest(GetParam(), compute) {}
};
INSTANTIATE_TEST_SUITE_P(Devices, OnDevice, testing::ValuesIn(test_devices()), device_name);

TEST_P(OnDevice, TensorsAreZeroedAlignedAndContiguous) {
  const auto check = [&]<typename T>(T) {
    const Tensor t(ctx.device(), dtype_of<T>(), 5, 7);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(t.view().raw()) % 64, 0u);
    EXPECT_TRUE(t.view().contiguous());
    EXPECT_EQ(t.view().dtype(), dtype_of<T>());
    EXPECT_EQ(t.view().device(), ctx.device());
    EXPECT_EQ(to_host<T>(ctx, t.view()), std::vector<T>(35));
  };
  check(float{});
  check(double{});
  check(int64_t{});
  check(bf16{});
}

TEST_P(OnDevice, TensorsMayBeEmptyAndMove) {
  EXPECT_TRUE(Tensor().view().empty());
  EXPECT_TRUE(Tensor(ctx.device(), DType::f32, 0, 5).view().empty());
  Tensor a(ctx.device(), DType::f32, 2, 3);
  write_element(ctx, a, 1, 2, 4.0f);
  const Tensor b = std::move(a);
  EXPECT_EQ(read_element<float>(ctx, b.view(), 1, 2), 4);
  EXPECT_THROW(Tensor(ctx.device(), DType::f32, -1, 3), Error);
}

TEST_P(OnDevice, CopiesToAndFromTheHostKeepStrides) {
  const int64_t rows = 3, cols = 4;
  std::vector<float> host(5 * 6), back(7 * 5, -1);
  for (size_t i = 0; i < host.size(); ++i) host[i] = static_cast<float>(i);
  const Tensor there(ctx.device(), DType::f32, 6, 9);
  const View inside = there.view().slice_rows(2, 2 + rows).slice_cols(3, 3 + cols);
  copy(ctx, ConstView(host.data(), 5, 6).slice_rows(1, 1 + rows).slice_cols(2, 2 + cols), inside);
  copy(ctx, inside, View(back.data(), 7, 5).slice_rows(2, 2 + rows).slice_cols(1, 1 + cols));
  ctx.synchronize();
  for (int64_t i = 0; i < 7; ++i) {
    for (int64_t j = 0; j < 5; ++j) {
      const bool copied = i >= 2 && i < 2 + rows && j >= 1;
      EXPECT_EQ(back[static_cast<size_t>(i * 5 + j)], copied ? static_cast<float>((i - 1) * 6 + j + 1) : -1);
    }
  }
  double total = 0;  // and nothing else was written
  for (const float value : to_host<float>(ctx, there.view())) total += value != 0;
  EXPECT_EQ(total, static_cast<double>(rows * cols));
}

TEST_P(OnDevice, PinnedBuffersAreHostMemory) {
  const PinnedBuffer buffer(ctx.device(), 40);
  EXPECT_EQ(buffer.size(), 40u);
  const auto values = buffer.as<double>();
  ASSERT_EQ(values.size(), 5u);
  for (size_t i = 0; i < 5; ++i) values[i] = static_cast<double>(i);
  const Tensor there(ctx.device(), DType::f64, 1, 5);
  copy(ctx, ConstView(values.data(), 1, 5), there);
  scale(ctx, 3, there);
  copy(ctx, there.view(), View(values.data(), 1, 5));
  ctx.synchronize();
  EXPECT_EQ(values[4], 12);
}

TEST_P(OnDevice, ZerosAreZerosOnReusedMemory) {
  const View a = ctx.alloc(4, 5);
  fill(ctx, a, 7);
  ctx.arena().reset();
  const View z = ctx.zeros(4, 5);
  ASSERT_EQ(z.raw(), a.raw());
  EXPECT_EQ(to_host<double>(ctx, z), std::vector<double>(20));
}

class OnCuda : public OnDevice {};
INSTANTIATE_TEST_SUITE_P(Devices, OnCuda, testing::ValuesIn(test_cuda_devices()), device_name);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(OnCuda);

TEST_P(OnCuda, ATileIsEverything) { EXPECT_GT(ctx.tile_rows(1 << 20), 1'000'000'000); }

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

}  // namespace
}  // namespace lime
