#include "embeddings/id_map.h"

#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <unordered_map>
#include <vector>

#include "embeddings/embedding_collection.h"
#include "runtime/error.h"
#include "tests/embeddings/colliding_ids.h"

namespace lime {
namespace {

TEST(IdMap, FindsWhatWasInserted) {
  IdMap map;
  std::unordered_map<int64_t, int64_t> expected;
  const Philox random(1, 2);
  for (int64_t i = 0; i < 200000; ++i) {
    const auto id = static_cast<int64_t>(random.bits(static_cast<uint64_t>(i)) >> (i % 2 ? 1 : 46));
    EXPECT_EQ(map.find(id), expected.contains(id) ? expected[id] : IdMap::absent);
    if (expected.contains(id)) continue;
    map.insert(id, i);
    expected[id] = i;
  }
  EXPECT_EQ(map.size(), static_cast<int64_t>(expected.size()));
  for (const auto& [id, row] : expected) ASSERT_EQ(map.find(id), row);
}

TEST(IdMap, ListsAllIds) {
  IdMap map;
  std::map<int64_t, int64_t> expected, found;
  for (int64_t id = 0; id < 50000; ++id) {
    map.insert(id * 7, id);
    expected[id * 7] = id;
  }
  map.for_each([&](int64_t id, int64_t row) { ASSERT_TRUE(found.emplace(id, row).second); });
  EXPECT_EQ(found, expected);
}

// As a checkpoint is loaded, into a rank's share of the buckets: must not be quadratic, which the time limit
// would tell.
TEST(IdMap, TakesIdsBucketByBucket) {
  std::vector<std::vector<int64_t>> buckets(static_cast<size_t>(virtual_buckets));
  for (int64_t id = 0; id < 2000000; ++id) buckets[static_cast<size_t>(bucket_of(id))].push_back(id);
  IdMap map;
  for (size_t bucket = 0; bucket < 256; ++bucket) {
    for (const int64_t id : buckets[bucket]) map.insert(id, 2 * id);
  }
  for (const int64_t id : buckets[17]) ASSERT_EQ(map.find(id), 2 * id);
}

TEST(IdMap, IsExactWhereHashesCollide) {
  const auto ids = colliding_ids(2000);
  for (const int64_t id : ids) ASSERT_EQ(bucket_of(id), bucket_of(ids[0]));
  IdMap map;
  for (size_t i = 0; i + 1 < ids.size(); ++i) map.insert(ids[i], static_cast<int64_t>(i));
  for (size_t i = 0; i + 1 < ids.size(); ++i) ASSERT_EQ(map.find(ids[i]), static_cast<int64_t>(i));
  EXPECT_EQ(map.find(ids.back()), IdMap::absent);
}

TEST(IdMap, TakesTheLargestIds) {
  IdMap map;
  constexpr int64_t most = std::numeric_limits<int64_t>::max();
  map.insert(most, 0);
  map.insert(0, 1);
  map.insert(most - 1, 2);
  EXPECT_EQ(map.find(most), 0);
  EXPECT_EQ(map.find(0), 1);
  EXPECT_EQ(map.find(most - 1), 2);
  EXPECT_EQ(map.find(1), IdMap::absent);
}

TEST(IdMap, GivesAnIdAnotherPlace) {
  IdMap map;
  for (int64_t id = 0; id < 5000; ++id) map.insert(id * 3, waiting_place(1, 0));
  for (int64_t id = 0; id < 5000; id += 2) map.replace(id * 3, id);
  EXPECT_EQ(map.size(), 5000);
  for (int64_t id = 0; id < 5000; ++id) ASSERT_EQ(map.find(id * 3), id % 2 == 0 ? id : waiting_place(1, 0));
  EXPECT_THROW(map.replace(1, 0), Error);
}

TEST(IdPlace, HoldsStepsAndIdleRuns) {
  EXPECT_EQ(steps_of(no_place), 0);
  EXPECT_EQ(idle_runs_of(no_place), 0);
  for (const int64_t steps : {1, 2, 254, 255})
    for (const int64_t idle : {0, 1, 255}) {
      const int64_t place = waiting_place(steps, idle);
      EXPECT_FALSE(is_row(place));
      EXPECT_NE(place, no_place);
      EXPECT_EQ(steps_of(place), steps);
      EXPECT_EQ(idle_runs_of(place), idle);
      EXPECT_EQ(is_admitted(place, 3), steps >= 2);
    }
}

TEST(IdMap, RefusesAnIdTwice) {
  IdMap map;
  map.insert(5, 0);
  EXPECT_THROW(map.insert(5, 1), Error);
  EXPECT_THROW(map.insert(-1, 1), Error);
}

}  // namespace
}  // namespace lime
