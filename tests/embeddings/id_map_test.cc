#include "embeddings/id_map.h"

#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <unordered_map>

#include "tests/embeddings/colliding_ids.h"

namespace lime {
namespace {

TEST(IdMap, FindsWhatWasInserted) {
  IdMap map(0, virtual_buckets);
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

TEST(IdMap, ListsABucketsIds) {
  IdMap map(0, virtual_buckets);
  std::vector<std::map<int64_t, int64_t>> expected(static_cast<size_t>(virtual_buckets));
  for (int64_t id = 0; id < 50000; ++id) {
    map.insert(id * 7, id);
    expected[static_cast<size_t>(bucket_of(id * 7))][id * 7] = id;
  }
  for (int64_t bucket = 0; bucket < virtual_buckets; ++bucket) {
    std::map<int64_t, int64_t> found;
    map.for_each(bucket, [&](int64_t id, int64_t row) { found[id] = row; });
    ASSERT_EQ(found, expected[static_cast<size_t>(bucket)]);
    ASSERT_GT(found.size(), 10U) << "ids are spread over buckets";
  }
}

// A rank's share of the buckets, from a table of one entry to a large one.
TEST(IdMap, HoldsARangeOfBuckets) {
  for (const auto [first, last] :
       {std::pair<int64_t, int64_t>{0, 1}, {1023, 1024}, {342, 683}, {512, 1024}}) {
    IdMap map(first, last);
    std::map<int64_t, int64_t> all;
    for (int64_t id = 0; id < 60000; ++id) {
      if (bucket_of(id) < first || bucket_of(id) >= last) {
        if (id < 3000) EXPECT_THROW(map.insert(id, 0), Error);
        continue;
      }
      map.insert(id, 2 * id);
      all[id] = 2 * id;
      if (id > 300 && id != 59999) continue;
      std::map<int64_t, int64_t> found;
      for (int64_t bucket = 0; bucket < virtual_buckets; ++bucket) {
        map.for_each(bucket, [&](int64_t of_bucket, int64_t row) {
          ASSERT_TRUE(found.emplace(of_bucket, row).second) << of_bucket << " is listed twice";
        });
      }
      ASSERT_EQ(found, all);
    }
    for (const auto& [id, row] : all) ASSERT_EQ(map.find(id), row);
  }
}

TEST(IdMap, IsExactWhereHashesCollide) {
  const auto ids = colliding_ids(2000);
  for (const int64_t id : ids) ASSERT_EQ(bucket_of(id), bucket_of(ids[0]));
  IdMap map(0, virtual_buckets);
  for (size_t i = 0; i + 1 < ids.size(); ++i) map.insert(ids[i], static_cast<int64_t>(i));
  for (size_t i = 0; i + 1 < ids.size(); ++i) ASSERT_EQ(map.find(ids[i]), static_cast<int64_t>(i));
  EXPECT_EQ(map.find(ids.back()), IdMap::absent);
}

TEST(IdMap, TakesTheLargestIds) {
  IdMap map(0, virtual_buckets);
  constexpr int64_t most = std::numeric_limits<int64_t>::max();
  map.insert(most, 0);
  map.insert(0, 1);
  map.insert(most - 1, 2);
  EXPECT_EQ(map.find(most), 0);
  EXPECT_EQ(map.find(0), 1);
  EXPECT_EQ(map.find(most - 1), 2);
  EXPECT_EQ(map.find(1), IdMap::absent);
}

TEST(IdMap, RefusesAnIdTwice) {
  IdMap map(0, virtual_buckets);
  map.insert(5, 0);
  EXPECT_THROW(map.insert(5, 1), Error);
  EXPECT_THROW(map.insert(-1, 1), Error);
}

}  // namespace
}  // namespace lime
