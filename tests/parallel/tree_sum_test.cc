#include "parallel/tree_sum.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/parallel/reference_sum.h"

namespace lime {
namespace {

TEST(TreeSum, SplitsAtTheLargestPowerOfTwoBelow) {
  const std::vector<int64_t> expected{1, 2, 2, 4, 4, 4, 4, 8, 8};
  for (int64_t n = 2; n <= 10; ++n) EXPECT_EQ(tree_split(n), expected[static_cast<size_t>(n - 2)]) << n;
  EXPECT_EQ(tree_split((int64_t{1} << 40) + 1), int64_t{1} << 40);
  EXPECT_THROW(tree_split(1), Error);
}

TEST(TreeSum, LeavesAreDealtOutWithoutGapsAndEvenly) {
  for (int64_t leaves : {0, 1, 2, 3, 7, 8, 16, 64}) {
    for (int size = 1; size <= 9; ++size) {
      int64_t next = 0;
      for (int rank = 0; rank < size; ++rank) {
        const auto [first, last] = leaves_of(leaves, rank, size);
        EXPECT_EQ(first, next);
        EXPECT_GE(last - first, leaves / size);
        EXPECT_LE(last - first, (leaves + size - 1) / size);
        next = last;
      }
      EXPECT_EQ(next, leaves) << leaves << " over " << size;
    }
  }
  EXPECT_EQ(leaves_of(8, 2, 4), std::pair(int64_t{4}, int64_t{6}));
}

template <typename T>
void check_parts(int64_t parts, int64_t count) {
  std::vector<std::vector<T>> items;
  for (int64_t p = 0; p < parts; ++p) items.push_back(rough_values<T>(count, static_cast<uint64_t>(p)));
  const std::vector<T> expected = reference_tree_sum(items);
  for (int64_t target = 0; target <= parts; ++target) {  // into each of the parts, and elsewhere
    auto copies = items;
    copies.emplace_back(static_cast<size_t>(count), T(-1));
    std::vector<void*> pointers;
    for (auto& copy : copies) pointers.push_back(copy.data());
    void* out = pointers[static_cast<size_t>(target)];
    pointers.pop_back();
    tree_sum_parts(dtype_of<T>(), pointers, count, out);
    EXPECT_TRUE(same_bits(copies[static_cast<size_t>(target)], expected)) << parts << " parts of " << count;
  }
}

TEST(TreeSum, PartsEqualTheReferenceBitForBit) {
  for (int64_t parts = 1; parts <= 9; ++parts) {
    for (int64_t count : {0, 1, 3, 1000, 1024, 2500}) {
      check_parts<float>(parts, count);
      check_parts<double>(parts, count);
      check_parts<int64_t>(parts, count);
    }
  }
}

// The leaves as the accumulator sees them, zeros in place of absent ones, and + 0 at the end.
std::vector<float> reference_with_zeros(std::vector<std::vector<float>> leaves,
                                        const std::vector<bool>& absent) {
  for (size_t l = 0; l < leaves.size(); ++l) {
    if (absent[l]) leaves[l].assign(leaves[l].size(), 0.0f);
  }
  std::vector<float> sum = reference_tree_sum(leaves);
  for (float& x : sum) x += 0.0f;
  return sum;
}

TEST(TreeAccumulator, EqualsTheReferenceWithEveryPatternOfAbsentLeaves) {
  Context ctx;
  const int64_t size = 33;
  for (int64_t n = 1; n <= 9; ++n) {
    std::vector<std::vector<float>> leaves;
    for (int64_t l = 0; l < n; ++l) {
      leaves.push_back(rough_values<float>(size, static_cast<uint64_t>(100 + l)));
      leaves.back()[5] = -0.0f;  // sums of these show whether an absent leaf is told from zeros
      leaves.back()[6] = l % 2 ? 1e-30f : -1e-30f;
    }
    TreeAccumulator tree(ctx, n, size);
    for (int pattern = 0; pattern < 1 << n; ++pattern) {
      std::vector<bool> absent;
      for (int64_t l = 0; l < n; ++l) {
        absent.push_back((pattern >> l) & 1);
        absent.back() ? tree.skip(ctx) : tree.add(ctx, view_of(leaves[static_cast<size_t>(l)]));
      }
      std::vector<float> out(static_cast<size_t>(size), 7.0f);
      const bool any = tree.finish(ctx, view_of(out));
      tree.reset();
      EXPECT_EQ(any, pattern != (1 << n) - 1);
      const auto expected = any ? reference_with_zeros(leaves, absent) : std::vector<float>(out.size(), 7.0f);
      ASSERT_TRUE(same_bits(out, expected)) << n << " leaves, absent " << pattern;
    }
  }
}

TEST(TreeAccumulator, TheSumNeverHoldsMinusZero) {
  Context ctx;
  for (int64_t n : {1, 2, 3}) {
    TreeAccumulator tree(ctx, n, 1);
    const std::vector<float> leaf{-0.0f};
    for (int64_t l = 0; l < n; ++l) tree.add(ctx, view_of(leaf));
    std::vector<float> out{1.0f};
    ASSERT_TRUE(tree.finish(ctx, view_of(out)));
    EXPECT_EQ(out[0], 0.0f);
    EXPECT_FALSE(std::signbit(out[0]));
  }
}

TEST(TreeAccumulator, CountsItsLeaves) {
  Context ctx;
  TreeAccumulator tree(ctx, 2, 1);
  std::vector<float> value{1.0f}, two{1.0f, 2.0f};
  tree.add(ctx, view_of(value));
  EXPECT_THROW(tree.finish(ctx, view_of(value)), Error);
  EXPECT_THROW(tree.add(ctx, view_of(two)), Error);
  tree.skip(ctx);
  EXPECT_THROW(tree.skip(ctx), Error);
}

}  // namespace
}  // namespace lime
