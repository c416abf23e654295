#include "embeddings/dedup.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <vector>

#include "embeddings/bucket_order.h"
#include "embeddings/embedding_collection.h"
#include "embeddings/ordered_sum.h"
#include "parallel/tree_sum.h"
#include "tests/embeddings/colliding_ids.h"

namespace lime {
namespace {

using Leaves = std::vector<std::vector<int64_t>>;

// Checks slots, chains and numbering of `leaves` against their definition.
void check(Dedup& dedup, const Leaves& leaves, int64_t expected_ids, int64_t capacity) {
  const auto fold = [capacity](int64_t id) { return capacity > 0 && id > 0 ? id % capacity : id; };
  DistinctIds found;
  dedup.begin(found, expected_ids);
  std::vector<int64_t> first_appearance;
  std::map<int64_t, std::vector<int32_t>> leaves_of_id;
  for (size_t leaf = 0; leaf < leaves.size(); ++leaf) {
    dedup.begin_leaf(static_cast<int32_t>(leaf));
    std::vector<int32_t> slots(leaves[leaf].size());
    const size_t half = slots.size() / 2;  // two features
    dedup.add(std::span(leaves[leaf]).first(half), fold, slots.data());
    dedup.add(std::span(leaves[leaf]).subspan(half), fold, slots.data() + half);
    for (size_t i = 0; i < slots.size(); ++i) {
      const int64_t id = fold(leaves[leaf][i]);
      if (id < 0) {
        ASSERT_EQ(slots[i], DistinctIds::none);
        continue;
      }
      ASSERT_EQ(found.ids[found.unique_of_slot[slots[i]]], id);
      ASSERT_EQ(found.leaf_of_slot[slots[i]], static_cast<int32_t>(leaf));
      auto& of_id = leaves_of_id[id];
      if (of_id.empty()) first_appearance.push_back(id);
      if (of_id.empty() || of_id.back() != static_cast<int32_t>(leaf))
        of_id.push_back(static_cast<int32_t>(leaf));
    }
  }
  ASSERT_EQ(found.size, static_cast<int32_t>(first_appearance.size()));
  int32_t slots = 0;
  for (int32_t u = 0; u < found.size; ++u) {
    ASSERT_EQ(found.ids[u], first_appearance[static_cast<size_t>(u)]);
    std::vector<int32_t> chain;
    for (int32_t s = found.first_slot[u]; s != DistinctIds::none; s = found.next_slot[s]) {
      chain.push_back(found.leaf_of_slot[s]);
    }
    ASSERT_EQ(chain, leaves_of_id[found.ids[u]]);
    slots += static_cast<int32_t>(chain.size());
  }
  ASSERT_EQ(found.slots, slots);
}

TEST(Dedup, FindsDistinctIdsAndTheirLeaves) {
  Dedup dedup;
  check(dedup, {}, 0, 0);
  check(dedup, {{}, {}}, 0, 0);
  check(dedup, {{3, 3, -1, 3}, {}, {-1, -5}, {7, 3}}, 0, 0);
  Leaves leaves(5);
  const Philox random(3, 4);
  uint64_t at = 0;
  for (auto& leaf : leaves) {
    for (int i = 0; i < 20000; ++i) leaf.push_back(static_cast<int64_t>(random.below(15000, at++)) - 100);
  }
  check(dedup, leaves, 0, 0);  // grows
  check(dedup, leaves, 20000, 0);
  check(dedup, leaves, 100, 1000);
  check(dedup, {colliding_ids(1000), colliding_ids(1500)}, 0, 0);
}

TEST(BucketOrder, IsByBucketThenId) {
  std::vector<int64_t> ids = colliding_ids(50);
  const Philox random(5, 6);
  for (uint64_t i = 0; i < 20000; ++i) ids.push_back(static_cast<int64_t>(random.bits(i) >> (1 + i % 60)));
  const std::set<int64_t> distinct(ids.begin(), ids.end());
  ids.assign(distinct.rbegin(), distinct.rend());
  BucketOrder order;
  order.sort(ids);
  std::vector<std::pair<int64_t, int64_t>> got, expected;
  order.for_each([&](int32_t bucket, int32_t i) { got.emplace_back(bucket, ids[static_cast<size_t>(i)]); });
  for (const int64_t id : ids) expected.emplace_back(bucket_of(id), id);
  std::sort(expected.begin(), expected.end());
  EXPECT_EQ(got, expected);
}

// The tree of tree_sum.h over leaves [first, last), absent ones skipped.
const float* tree_sum(std::vector<float>& leaves, const std::vector<bool>& there, size_t first, size_t last) {
  if (last - first == 1) return there[first] ? &leaves[first] : nullptr;
  const size_t middle = first + static_cast<size_t>(tree_split(static_cast<int64_t>(last - first)));
  const float* left = tree_sum(leaves, there, first, middle);
  const float* right = tree_sum(leaves, there, middle, last);
  if (!left || !right) return left ? left : right;
  leaves[first] = *left + *right;
  return &leaves[first];
}

TEST(OrderedSum, IsTheTreeOverLeaves) {
  const Philox random(7, 8);
  uint64_t at = 0;
  int differs_from_running_sum = 0;
  for (size_t n = 1; n <= 40; ++n) {
    for (int round = 0; round < 40; ++round) {
      DistinctIds ids;
      ids.reserve(static_cast<int64_t>(n));
      std::vector<float> parts, leaves(n);
      std::vector<bool> there(n), present;
      float running = 0;
      for (size_t leaf = 0; leaf < n; ++leaf) {
        if (random.uniform(at++) < 0.3) continue;  // the id is not in this leaf
        parts.push_back(static_cast<float>(random.normal(at++)));
        present.push_back(random.uniform(at++) < 0.8);  // or it is there without a gradient
        if (present.size() == 1) {
          ids.add_id(9, static_cast<int32_t>(leaf));
        } else {
          ids.next_slot[ids.slots - 1] = ids.slots;
          ids.add_slot(0, static_cast<int32_t>(leaf));
        }
        leaves[leaf] = parts.back();
        there[leaf] = present.back();
        if (there[leaf]) running += parts.back();
      }
      if (present.empty()) continue;
      const float* expected = tree_sum(leaves, there, 0, n);
      const float* got = ordered_sum(ids, 0, 1, [&](int32_t slot) {
        const auto s = static_cast<size_t>(slot);
        return present[s] ? &parts[s] : nullptr;
      });
      ASSERT_EQ(got == nullptr, expected == nullptr);
      if (!got) continue;
      ASSERT_EQ(*got, *expected) << n << " leaves";
      differs_from_running_sum += *got != running;
    }
  }
  EXPECT_GT(differs_from_running_sum, 100) << "the order matters";
}

}  // namespace
}  // namespace lime
