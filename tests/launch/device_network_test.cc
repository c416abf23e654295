// The network over tables on a device: lists, real-valued columns beside gathered rows, several tasks.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "runtime/host_copy.h"
#include "tests/launch/small_run.h"
#include "tests/support/device_support.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

// Of the whole: where a gradient is rounding alone, a first step of Adam or Adagrad has either sign.
double relative_difference(const std::vector<float>& expected, const std::vector<float>& got) {
  EXPECT_EQ(got.size(), expected.size());
  double difference = 0, size = 0;
  for (size_t i = 0; i < std::min(got.size(), expected.size()); ++i) {
    difference += std::pow(double{got[i]} - double{expected[i]}, 2);
    size += std::pow(double{expected[i]}, 2);
  }
  return std::sqrt(difference / size);
}

using DeviceNetwork = testing::TestWithParam<Device>;
INSTANTIATE_TEST_SUITE_P(Devices, DeviceNetwork, testing::ValuesIn(test_cuda_devices()), device_name);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(DeviceNetwork);

TEST_P(DeviceNetwork, TrainsAsOnTheHost) {
  if (const std::string missing = skip_reason(GetParam()); !missing.empty()) GTEST_SKIP() << missing;
  const TempDirectory directory;
  const Dataset dataset = write_small_dataset(directory.file("data"));
  const Config config = small_config(directory.file("data"));
  SmallRun host(test_group().world(), config, dataset),
      device(test_group().world(), config, dataset, GetParam());
  for (SmallRun* run : {&host, &device}) run->train(test_group(), dataset, 2);

  const auto values = [](SmallRun& run) { return host_copy(run.ctx, run.network.parameters().values()); };
  const Tensor a = values(host), b = values(device);
  const auto floats = [](const Tensor& t) {
    return std::vector<float>(t.view().data<float>(), t.view().data<float>() + t.cols());
  };
  EXPECT_LT(relative_difference(floats(a), floats(b)), 1e-3);
  const EmbeddingCollection &there = host.network.tables(), &here = device.network.tables();
  for (size_t t = 0; t < there.tables().size(); ++t) {
    const auto table = static_cast<int64_t>(t);
    std::vector<float> expected, got;
    for (int64_t bucket = 0; bucket < virtual_buckets; ++bucket) {
      const TableRows x = there.bucket_rows(table, bucket), y = here.bucket_rows(table, bucket);
      ASSERT_EQ(y.ids, x.ids) << there.tables()[t].name;
      expected.insert(expected.end(), x.values.begin(), x.values.end());
      got.insert(got.end(), y.values.begin(), y.values.end());
    }
    EXPECT_FALSE(expected.empty()) << there.tables()[t].name;
    EXPECT_LT(relative_difference(expected, got), 1e-3) << there.tables()[t].name;
  }
}

}  // namespace
}  // namespace lime
