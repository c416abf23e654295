// Sorts and sums on a device.
#include "runtime/device_sort.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <tuple>

#include "runtime/philox.h"
#include "tests/support/device_support.h"

namespace lime {
namespace {

class DeviceSort : public DeviceTest, public testing::WithParamInterface<Device> {
 protected:
  DeviceSort() : DeviceTest(GetParam()) {}

  // 64-bit numbers as a tensor of i64, 32-bit ones as halves of it.
  Tensor numbers(const std::vector<uint64_t>& values) {
    return to_device(ctx, std::vector<int64_t>(values.begin(), values.end()));
  }
  std::vector<uint64_t> keys_at(const uint64_t* keys, size_t n) {
    const auto host = to_host<int64_t>(
        ctx, ConstView(keys, DType::i64, ctx.device(), 1, static_cast<int64_t>(n), static_cast<int64_t>(n)));
    return {host.begin(), host.end()};
  }
};
INSTANTIATE_TEST_SUITE_P(Devices, DeviceSort, testing::ValuesIn(test_cuda_devices()), device_name);

TEST_P(DeviceSort, SortsStablyByTheBitsAskedFor) {
  const Philox random(1, 2);
  for (const auto& [count, first_bit, last_bit] :
       {std::tuple{1, 0, 64}, {1000, 0, 64}, {1000, 3, 11}, {4097, 0, 17}, {500, 60, 64}, {300, 5, 5}}) {
    const auto n = static_cast<size_t>(count);
    std::vector<uint64_t> keys(n), order(n);
    for (size_t i = 0; i < n; ++i) keys[i] = random.bits(i) >> (i % 3 == 0 ? 0 : 40);
    std::vector<uint64_t> pairs_of_values((n + 1) / 2);
    for (size_t i = 0; i < n; ++i) pairs_of_values[i / 2] |= static_cast<uint64_t>(i) << (i % 2 * 32);
    const Tensor a = numbers(keys), b = numbers(keys), c = numbers(pairs_of_values),
                 d = numbers(pairs_of_values);
    cuda::KeyValues pairs{static_cast<uint64_t*>(a.view().raw()), static_cast<uint32_t*>(c.view().raw())},
        other{static_cast<uint64_t*>(b.view().raw()), static_cast<uint32_t*>(d.view().raw())};
    cuda::sort_pairs(ctx, pairs, other, count, first_bit, last_bit);

    std::iota(order.begin(), order.end(), uint64_t{0});
    const auto digits = [&, first = first_bit, last = last_bit](uint64_t i) {
      const uint64_t below = last == 64 ? keys[i] : keys[i] & ((uint64_t{1} << last) - 1);
      return first == last ? 0 : below >> first;
    };
    std::stable_sort(order.begin(), order.end(),
                     [&](uint64_t x, uint64_t y) { return digits(x) < digits(y); });
    const auto got = keys_at(pairs.keys, n);
    const auto values = keys_at(reinterpret_cast<const uint64_t*>(pairs.values), (n + 1) / 2);
    for (size_t i = 0; i < n; ++i) {
      ASSERT_EQ(got[i], keys[order[i]])
          << count << " keys, bits " << first_bit << " to " << last_bit << ": " << i;
      ASSERT_EQ(values[i / 2] >> (i % 2 * 32) & 0xffffffffu, order[i]) << i;
    }
  }
}

TEST_P(DeviceSort, RunningSumsInPlace) {
  const Philox random(3, 4);
  for (const size_t n : {1u, 31u, 5000u}) {
    std::vector<uint64_t> values(n), expected(n);
    for (size_t i = 0; i < n; ++i) values[i] = random.bits(i) >> 33 << (i % 2 * 31);
    std::partial_sum(values.begin(), values.end(), expected.begin());
    const Tensor memory = numbers(values);
    auto* const at = static_cast<uint64_t*>(memory.view().raw());
    cuda::running_sums(ctx, at, at, static_cast<int64_t>(n));
    EXPECT_EQ(keys_at(at, n), expected);
  }
}

}  // namespace
}  // namespace lime
