// Parts reduced on a device against those reduced on the host, bit for bit.
#include <gtest/gtest.h>

#include <cmath>

#include "parallel/reduce_parts.h"
#include "tests/parallel/reference_sum.h"
#include "tests/support/device_support.h"

namespace lime {
namespace {

class DeviceParts : public DeviceTest {
 protected:
  DeviceParts() : DeviceTest({DeviceType::cuda, 0}) {}

  template <typename T>
  void check(ReduceOp op, int parts, int own_rank, int64_t count, bool with_nan) {
    std::vector<std::vector<T>> values;
    for (int p = 0; p < parts; ++p) {
      values.push_back(rough_values<T>(count, static_cast<uint64_t>(p)));
      if (with_nan && p < count) values.back()[static_cast<size_t>(p)] = static_cast<T>(NAN);
      if (count > 0) values.back()[static_cast<size_t>(count - 1)] = p == 1 ? T(-0.0) : T(0);
    }
    std::vector<T> others;
    for (int p = 0; p < parts; ++p)
      if (p != own_rank)
        others.insert(others.end(), values[static_cast<size_t>(p)].begin(),
                      values[static_cast<size_t>(p)].end());
    const Tensor own_on_device = upload(values[static_cast<size_t>(own_rank)]);
    const Tensor others_on_device = upload(others);
    cuda::reduce_parts(ctx, dtype_of<T>(), op,
                       {own_on_device.view().raw(), others_on_device.view().raw(), own_rank, parts}, count,
                       own_on_device.view().raw());

    std::vector<void*> pointers;
    for (auto& part : values) pointers.push_back(part.data());
    std::vector<T> expected(static_cast<size_t>(count));
    reduce_parts(dtype_of<T>(), op, pointers, count, expected.data());
    ASSERT_TRUE(same_bits(to_host<T>(ctx, own_on_device.view()), expected))
        << parts << " parts of " << count << " " << to_string(dtype_of<T>()) << ", op "
        << static_cast<int>(op) << ", own " << own_rank;
  }

  template <typename T>
  Tensor upload(const std::vector<T>& values) {
    const auto n = static_cast<int64_t>(values.size());
    Tensor tensor(ctx.device(), dtype_of<T>(), 1, n);
    copy(ctx, ConstView(values.data(), 1, n), tensor);
    return tensor;
  }
};

TEST_F(DeviceParts, SumsFollowTheTree) {
  for (const int parts : {1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 15, 16, 17, 21}) {
    for (const int64_t count : {0, 1, 300}) {
      check<float>(ReduceOp::sum, parts, parts / 2, count, false);
      check<double>(ReduceOp::sum, parts, parts - 1, count, false);
      check<int64_t>(ReduceOp::sum, parts, 0, count, false);
    }
  }
}

TEST_F(DeviceParts, MaximaAndMinimaFollowTheRanks) {
  for (const ReduceOp op : {ReduceOp::max, ReduceOp::min}) {
    for (int parts = 1; parts <= 5; ++parts) {
      check<float>(op, parts, 0, 70, true);
      check<double>(op, parts, parts - 1, 70, true);
      check<int64_t>(op, parts, parts / 2, 70, false);
    }
  }
}

TEST_F(DeviceParts, RefusesWhatCannotBe) {
  EXPECT_THROW(cuda::reduce_parts(ctx, DType::bf16, ReduceOp::sum, {nullptr, nullptr, 0, 1}, 0, nullptr),
               Error);
  EXPECT_THROW(cuda::reduce_parts(ctx, DType::f32, ReduceOp::sum, {nullptr, nullptr, 2, 2}, 0, nullptr),
               Error);
  EXPECT_THROW(cuda::reduce_parts(ctx, DType::f32, ReduceOp::sum, {nullptr, nullptr, 0, 1 << 16}, 0, nullptr),
               Error);
}

}  // namespace
}  // namespace lime
