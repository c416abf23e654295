#include "embeddings/id_map.h"

#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <unordered_map>

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

TEST(IdMap, ListsABucketsIds) {
  IdMap map;
  std::vector<std::map<int64_t, int64_t>> expected(static_cast<size_t>(virtual_buckets));
  for (int64_t id = 0; id < 50000; ++id) {
    map.insert(id * 7, id);
    expected[static_cast<size_t>(bucket_of(id * 7))][id * 7] = id;
  }
  for (int64_t bucket = 0; bucket < virtual_buckets; ++bucket) {
    std::map<int64_t, int64_t> found;
    map.for_each(bucket, [&](int64_t id, int64_t row) { found[id] = row; });
    ASSERT_EQ(found, expected[static_cast<size_t>(bucket)]);
    ASSERT_EQ(map.size(bucket), static_cast<int64_t>(found.size()));
    ASSERT_GT(map.size(bucket), 10) << "ids are spread over buckets";
  }
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

TEST(IdMap, RefusesAnIdTwice) {
  IdMap map;
  map.insert(5, 0);
  EXPECT_THROW(map.insert(5, 1), Error);
  EXPECT_THROW(map.insert(-1, 1), Error);
}

}  // namespace
}  // namespace lime
