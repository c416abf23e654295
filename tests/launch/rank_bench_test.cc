// Ranks beside each other: what is measured, on 1, 2 and 4 of them.
#include "launch/rank_bench.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <set>

#include "launch/link_bench.h"
#include "launch/run_context.h"
#include "runtime/error.h"
#include "tests/launch/small_run.h"
#include "tests/support/device_support.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

RankBenchOptions quick() {
  RankBenchOptions options;
  options.seconds = 1e-3;
  options.product_rows = 16;
  options.copy_bytes = 1 << 16;
  options.file_bytes = 5 << 20;  // one block, and a part of one
  options.message_bytes = 1 << 12;
  return options;
}

// A directory that all ranks see, made by rank 0.
class RankBenchTest : public testing::Test {
 protected:
  RankBenchTest() {
    std::vector<char> path(temp_.path().begin(), temp_.path().end());
    broadcast_bytes(test_group().world(), path, 0);
    shared_ = std::string(path.begin(), path.end());
  }
  ~RankBenchTest() override { test_group().world().barrier()->wait(); }

  TempDirectory temp_;
  std::string shared_;
};

TEST_F(RankBenchTest, EveryRankIsMeasuredAndNothingStays) {
  RankBenchOptions options = quick();
  options.data = shared_ + "/data";
  options.out = shared_;
  if (test_group().rank() == 0) write_small_dataset(options.data);
  test_group().world().barrier()->wait();
  std::vector<std::string> begun;
  const RankBench bench =
      measure_ranks(test_group(), options, [&](const std::string& what, int done, int total) {
        EXPECT_EQ(done, static_cast<int>(begun.size()));
        EXPECT_EQ(total, test_group().size() > 1 ? 6 : 5);
        begun.push_back(what);
      });
  std::vector<std::string> names;
  for (const RankRates& rates : bench.rates) {
    names.push_back(rates.name);
    EXPECT_EQ(rates.by_host, rates.unit == "MB/s");
    ASSERT_EQ(rates.of.size(), static_cast<size_t>(test_group().size()));
    for (const double rate : rates.of) EXPECT_GT(rate, 0) << rates.name;
  }
  EXPECT_THAT(names, ElementsAre("products", "copies", "reading", "writing"));
  EXPECT_THAT(bench.hosts, ElementsAre(test_group().host()));
  EXPECT_EQ(bench.host_of, std::vector<int>(static_cast<size_t>(test_group().size())));
  EXPECT_EQ(std::set<std::string>(bench.digests.begin(), bench.digests.end()).size(), 1u);
  EXPECT_EQ(bench.collectives.size(), test_group().size() > 1 ? 6u : 0u);
  for (const CollectiveTime& c : bench.collectives) EXPECT_GT(c.us, 0);
  EXPECT_TRUE(bench.links.empty());
  test_group().world().barrier()->wait();
  for (const auto& entry : std::filesystem::directory_iterator(shared_))
    EXPECT_EQ(entry.path().filename(), "data");
}

TEST_F(RankBenchTest, WhatIsNotThereIsRefusedOnAllRanks) {
  const auto refused = [&](const RankBenchOptions& options) {
    return user_error([&] { measure_ranks(test_group(), options, {}); });
  };
  RankBenchOptions options = quick();
  options.data = shared_;
  EXPECT_THAT(refused(options), HasSubstr("dataset.yaml"));
  options = quick();
  options.out = shared_ + "/nowhere";
  EXPECT_THAT(refused(options), HasSubstr("there is no directory " + options.out));
  options = quick();
  options.device = "gpu";
  EXPECT_THAT(refused(options), HasSubstr("device 'gpu'"));
}

TEST_F(RankBenchTest, OnADevice) {
  const Device device{DeviceType::cuda, 0};
  if (!skip_reason(device).empty()) GTEST_SKIP() << skip_reason(device);
  RankBenchOptions options = quick();
  options.device = "cuda:0";
  const RankBench bench = measure_ranks(test_group(), options, {});
  std::vector<std::string> names;
  for (const RankRates& rates : bench.rates) {
    names.push_back(rates.name);
    for (const double rate : rates.of) EXPECT_GT(rate, 0) << rates.name;
  }
  EXPECT_THAT(names, ElementsAre("products", "products bf16", "device copies", "host to device", "copies"));
  EXPECT_EQ(bench.device, "cuda");
  EXPECT_EQ(std::set<std::string>(bench.digests.begin(), bench.digests.end()).size(), 1u);
  EXPECT_EQ(bench.transport, test_group().size() > 1 ? "staged" : "");
}

// Ranks in the place of hosts.
TEST_F(RankBenchTest, EachHostMeetsEachOther) {
  std::vector<int> host_of;
  for (int r = 0; r < test_group().size(); ++r) host_of.push_back(r);
  const auto links = time_links(test_group(), host_of);
  if (test_group().rank() != 0) {
    EXPECT_TRUE(links.empty());
    return;
  }
  std::set<std::pair<int, int>> pairs;
  for (const HostLink& link : links) {
    EXPECT_NE(link.from, link.to);
    EXPECT_GT(link.mb_s, 0);
    EXPECT_GT(link.us, 0);
    pairs.emplace(link.from, link.to);
  }
  const auto n = static_cast<size_t>(test_group().size());
  EXPECT_EQ(links.size(), n * (n - 1));
  EXPECT_EQ(pairs.size(), n * (n - 1));
}

TEST(RankBench, RoundsHaveEveryPairOnceAndNoHostTwice) {
  for (int n = 1; n <= 9; ++n) {
    std::set<std::pair<int, int>> all;
    size_t pairs = 0;
    for (const auto& round : rounds_of_pairs(n)) {
      std::set<int> hosts;
      for (const auto& [a, b] : round) {
        EXPECT_LT(a, b);
        EXPECT_LT(b, n);
        EXPECT_TRUE(hosts.insert(a).second && hosts.insert(b).second) << n;
        all.emplace(a, b);
        ++pairs;
      }
    }
    EXPECT_EQ(pairs, static_cast<size_t>(n * (n - 1) / 2));
    EXPECT_EQ(all.size(), pairs);
    EXPECT_EQ(rounds_of_pairs(n).size(), static_cast<size_t>(n == 1 ? 1 : n - 1 + n % 2));
  }
}

TEST(RankBench, GroupsAreSplitByColour) {
  ProcessGroup& group = test_group();
  const auto part = group.split(group.rank() == 0 ? -1 : group.rank() % 2);
  EXPECT_EQ(part == nullptr, group.rank() == 0);
  if (!part) return;
  const auto mine = static_cast<int64_t>(group.rank());
  const auto ranks = all_gather_values(*part, std::span<const int64_t>(&mine, 1));
  std::vector<int64_t> expected;
  for (int64_t r = 1; r < group.size(); ++r)
    if (r % 2 == mine % 2) expected.push_back(r);
  EXPECT_EQ(ranks, expected);
}

}  // namespace
}  // namespace lime
