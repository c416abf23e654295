// What stands out of measurements that are made up, and how it is said.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "launch/rank_bench.h"

namespace lime {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

// Hosts of two ranks each, all alike.
RankBench even(int hosts) {
  RankBench bench;
  bench.device = "cpu";
  bench.transport = "mpi";
  for (int h = 0; h < hosts; ++h) bench.hosts.push_back("node" + std::to_string(h + 1));
  const auto ranks = static_cast<size_t>(2 * hosts);
  for (size_t r = 0; r < ranks; ++r) bench.host_of.push_back(static_cast<int>(r / 2));
  bench.rates = {{"products", "GFLOP/s", std::vector<double>(ranks, 60)},
                 {"writing", "MB/s", std::vector<double>(ranks, 100), true}};
  bench.processors.assign(ranks, "EPYC");
  bench.digests.assign(ranks, "d1");
  bench.collectives = {{"all-reduce", 4 << 20, 5000, 1.26}};
  for (int a = 0; a < hosts; ++a)
    for (int b = 0; b < hosts; ++b)
      if (a != b) bench.links.push_back({a, b, 1000, 100});
  return bench;
}
HostLink& link(RankBench& bench, int from, int to) {
  for (HostLink& one : bench.links)
    if (one.from == from && one.to == to) return one;
  throw std::out_of_range("no such link");
}

TEST(RankFindings, NothingOfRanksThatAreAlike) {
  for (const int hosts : {1, 2, 4}) {
    RankBench bench = even(hosts);
    EXPECT_TRUE(what_stands_out(bench).empty());
    bench.rates[0].of[0] = 46;  // 0.77
    bench.rates[1].of[1] = 20;  // its host's other rank was served first
    if (hosts > 1) link(bench, 0, 1) = {0, 1, 600, 140};
    EXPECT_TRUE(what_stands_out(bench).empty());
    EXPECT_THAT(ranks_text(bench), HasSubstr("\nnothing stands out\n"));
  }
}

TEST(RankFindings, ARankAndAHost) {
  RankBench bench = even(3);
  bench.rates[0].of[1] = 33;
  bench.rates[0].of[4] = bench.rates[0].of[5] = 30;
  bench.rates[1].of[2] = 8;
  bench.rates[1].of[3] = 12;
  EXPECT_THAT(what_stands_out(bench),
              ElementsAre("node3 (all 2 ranks): products 0.50 of the median rank's (30.0 for 60.0 GFLOP/s)",
                          "rank 1 (node1): products 0.55 of the median rank's (33.0 for 60.0 GFLOP/s)",
                          "node2: writing 0.10 of the median host's (10.0 for 100 MB/s a rank)"));
}

TEST(RankFindings, OfTwoTheSlower) {
  RankBench bench = even(1);
  bench.rates[0].of = {60, 20};
  EXPECT_THAT(what_stands_out(bench), ElementsAre(HasSubstr("rank 1 (node1): products 0.33 of the median")));
  bench = even(2);
  link(bench, 1, 0).mb_s = 12;
  EXPECT_THAT(
      what_stands_out(bench),
      ElementsAre("node2 to node1: 0.012 of the median bandwidth between hosts (12.0 for 1,000 MB/s)"));
}

TEST(RankFindings, LinksAndHostsWhoseLinksAreSlow) {
  RankBench bench = even(4);
  link(bench, 0, 2).mb_s = 100;
  link(bench, 2, 0).mb_s = 110;
  EXPECT_THAT(what_stands_out(bench), ElementsAre(HasSubstr("node1 to node3: 0.10 of the median bandwidth"),
                                                  HasSubstr("node3 to node1: 0.11 of the median bandwidth")));
  for (const int to : {0, 2, 3}) link(bench, 1, to).mb_s = 200;
  EXPECT_THAT(what_stands_out(bench),
              ElementsAre(HasSubstr("node2 to all others: 0.20 of the median bandwidth"),
                          HasSubstr("node1 to node3: 0.10"), HasSubstr("node3 to node1: 0.11")));
  bench = even(4);
  for (const int from : {0, 1, 3}) link(bench, from, 2).mb_s = 200;
  EXPECT_THAT(what_stands_out(bench), ElementsAre(HasSubstr("all others to node3: 0.20")));
  bench = even(4);
  link(bench, 1, 3).us = link(bench, 3, 1).us = 900;
  EXPECT_THAT(what_stands_out(bench),
              ElementsAre("node2 - node4: a small message takes 900 us, 100 between the median pair"));
}

TEST(RankFindings, OtherBits) {
  RankBench bench = even(2);
  bench.digests[3] = "d2";
  EXPECT_THAT(what_stands_out(bench),
              ElementsAre("rank 3 (node2): layers compute other bits than on rank 0 (node1)"));
  bench.digests[2] = bench.digests[3] = "d2";
  bench.processors[2] = bench.processors[3] = "Xeon";
  EXPECT_THAT(
      what_stands_out(bench),
      ElementsAre(
          "node2 (all its ranks): layers compute other bits than on rank 0 (node1) (Xeon; there EPYC)"));
  bench = even(2);
  bench.digests[0] = "d2";  // rank 0 is the odd one
  EXPECT_THAT(what_stands_out(bench),
              ElementsAre(HasSubstr("rank 0 (node1): layers compute other bits than on rank 1")));
}

TEST(RankFindings, ManyRanksAreAFewLines) {
  RankBench bench = even(20);
  for (size_t r = 0; r < 24; r += 2) bench.rates[0].of[r] = 20;
  const auto found = what_stands_out(bench);
  ASSERT_EQ(found.size(), 9u);
  EXPECT_EQ(found.back(), "... and 4 more: products");
  const std::string text = ranks_text(bench);
  EXPECT_THAT(text, HasSubstr("40 ranks on 20 hosts, device cpu, joined by mpi\n"));
  EXPECT_THAT(text, testing::ContainsRegex("\nnode1 \\(2\\) +20.0 +100 +A\n"));
  EXPECT_THAT(text, testing::ContainsRegex("\nnode20 \\(2\\) +60.0 +100 +A\n"));
  EXPECT_THAT(text, HasSubstr("the 16 slowest of 380 links"));
}

TEST(RankFindings, TablesAndJsonSayWhatWasMeasured) {
  RankBench bench = even(2);
  bench.digests[3] = "d2";
  bench.rates[0].of[1] = 33;
  const std::string text = ranks_text(bench);
  EXPECT_THAT(text, HasSubstr("4 ranks on 2 hosts, device cpu, joined by mpi\n"));
  EXPECT_THAT(text, testing::ContainsRegex("\n1 node1 +33.0 +100 +A\n"));
  EXPECT_THAT(text, testing::ContainsRegex("\n3 node2 +60.0 +100 +B\n"));
  EXPECT_THAT(text, testing::ContainsRegex("\nall-reduce +4 MiB +5,000 +1.260\n"));
  EXPECT_THAT(text, testing::ContainsRegex("\nnode2 to node1 +1,000 +100\n"));
  EXPECT_THAT(text, Not(HasSubstr("nothing stands out")));
  const auto json = nlohmann::json::parse(ranks_json({}, bench));
  EXPECT_EQ(json["ranks"].size(), 4u);
  EXPECT_EQ(json["ranks"][1]["products GFLOP/s"], 33);
  EXPECT_EQ(json["ranks"][3]["digest"], "d2");
  EXPECT_EQ(json["ranks"][3]["host"], "node2");
  EXPECT_EQ(json["collectives"][0]["us"], 5000);
  EXPECT_EQ(json["links"][1]["from"], "node2");
  EXPECT_EQ(json["stands_out"].size(), 2u);
}

}  // namespace
}  // namespace lime
