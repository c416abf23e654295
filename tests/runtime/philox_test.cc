#include "runtime/philox.h"

#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include <set>

namespace lime {
namespace {

using Block = std::array<uint32_t, 4>;

// Known answers of philox4x32-10 as published with Random123 (kat_vectors). Key words are the seed's halves,
// counter words 0 and 1 the position's, 2 and 3 the stream's.
TEST(Philox, KnownAnswers) {
  EXPECT_EQ(Philox(0, 0).block(0), (Block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(Philox(~0ull, ~0ull).block(~0ull), (Block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(Philox(0x299f31d0a4093822, 0x0370734413198a2e).block(0x85a308d3243f6a88),
            (Block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, DependsOnSeedStreamAndPosition) {
  const uint64_t base = Philox(1, 2).bits(3);
  EXPECT_EQ(Philox(1, 2).bits(3), base);
  EXPECT_NE(Philox(2, 2).bits(3), base);
  EXPECT_NE(Philox(1, 3).bits(3), base);
  EXPECT_NE(Philox(1, 2).bits(4), base);
}

TEST(Philox, UniformMomentsAndRange) {
  const Philox rng(17, stream_of("test"));
  const int n = 200'000;
  double sum = 0, squares = 0;
  for (uint64_t i = 0; i < n; ++i) {
    const double u = rng.uniform(i);
    ASSERT_GE(u, 0.0);
    ASSERT_LT(u, 1.0);
    sum += u, squares += u * u;
  }
  EXPECT_NEAR(sum / n, 0.5, 0.003);
  EXPECT_NEAR(squares / n, 1.0 / 3, 0.003);
}

TEST(Philox, NormalMoments) {
  const Philox rng(18, stream_of("test"));
  const int n = 200'000;
  double m1 = 0, m2 = 0, m3 = 0, m4 = 0;
  for (uint64_t i = 0; i < n; ++i) {
    const double x = rng.normal(i);
    m1 += x, m2 += x * x, m3 += x * x * x, m4 += x * x * x * x;
  }
  EXPECT_NEAR(m1 / n, 0, 0.01);
  EXPECT_NEAR(m2 / n, 1, 0.02);
  EXPECT_NEAR(m3 / n, 0, 0.05);
  EXPECT_NEAR(m4 / n, 3, 0.15);
}

// The vector version against the scalar one, at every length around a vector; positions must not depend on n.
TEST(Philox, RowsOfNormalsAreNormalF32) {
  const Philox rng(20, stream_of("test"));
  for (int64_t n = 0; n < 140; ++n) {
    std::vector<float> row(static_cast<size_t>(n) + 1, -7);
    rng.normals(n, 0.5f, row.data());
    for (int64_t i = 0; i < n; ++i)
      ASSERT_NEAR(row[static_cast<size_t>(i)], 0.5f * rng.normal_f32(static_cast<uint64_t>(i)), 2e-6) << i << " of " << n;
    EXPECT_EQ(row[static_cast<size_t>(n)], -7) << "wrote beyond " << n;
  }
}

// The vector version against block(), at every length around a vector and for any number of streams.
TEST(Philox, HalvesAreThoseOfBlocks) {
  std::vector<uint64_t> streams;
  for (const uint64_t first : {uint64_t{0}, uint64_t{5}, (uint64_t{1} << 32) - 3, ~uint64_t{0} - 20})
    for (size_t n = 0; n < 150; ++n) {
      streams.resize(n % 11, stream_of("test", n));
      std::vector<uint16_t> halves(n * streams.size() + 1, 0xabcd);
      Philox::halves(20, streams, first, static_cast<int64_t>(n), halves.data());
      for (size_t s = 0; s < streams.size(); ++s)
        for (size_t i = 0; i < n; ++i) {
          const uint32_t word = Philox(20, streams[s]).block(first + i / 8)[i % 8 / 2];
          ASSERT_EQ(halves[s * n + i], static_cast<uint16_t>(i % 2 == 0 ? word : word >> 16)) << i << " of " << n;
        }
      ASSERT_EQ(halves.back(), 0xabcd);
    }
}

TEST(Philox, RowsOfNormalsHaveNormalMoments) {
  const Philox rng(21, stream_of("test"));
  const int n = 400'000;
  std::vector<float> row(n);
  rng.normals(n, 1, row.data());
  double m1 = 0, m2 = 0, m3 = 0, m4 = 0, neighbours = 0, over_two = 0;
  for (size_t i = 0; i < row.size(); ++i) {
    const double x = row[i];
    m1 += x, m2 += x * x, m3 += x * x * x, m4 += x * x * x * x;
    over_two += std::abs(x) > 2;
    for (size_t lag = 1; lag < 4; ++lag)
      if (i >= lag) neighbours += x * row[i - lag];
  }
  EXPECT_NEAR(m1 / n, 0, 0.01);
  EXPECT_NEAR(m2 / n, 1, 0.02);
  EXPECT_NEAR(m3 / n, 0, 0.05);
  EXPECT_NEAR(m4 / n, 3, 0.1);
  EXPECT_NEAR(over_two / n, 0.0455, 0.002);
  EXPECT_NEAR(neighbours / n, 0, 0.01) << "neighbours of a block are correlated";
}

TEST(Philox, BelowIsInRangeAndEven) {
  const Philox rng(19, 0);
  int counts[7] = {};
  for (uint64_t i = 0; i < 70'000; ++i) ++counts[rng.below(7, i)];
  for (const int count : counts) EXPECT_NEAR(count, 10'000, 500);
  for (uint64_t i = 0; i < 100; ++i) {
    EXPECT_EQ(rng.below(1, i), 0u);
    EXPECT_LT(rng.below(~0ull, i), ~0ull);
  }
}

// Part of what a checkpoint means: these must never change.
TEST(Philox, StreamsAndMixAreFixed) {
  EXPECT_EQ(mix64(0), 0xe220a8397b1dcdafull);  // the first output of splitmix64 seeded with 0
  std::set<uint64_t> streams;
  for (const char* name : {"", "a", "b", "ab", "ba"}) {
    for (uint64_t a = 0; a < 10; ++a) {
      for (uint64_t b = 0; b < 10; ++b) streams.insert(stream_of(name, a, b));
    }
  }
  EXPECT_EQ(streams.size(), 500u);
  EXPECT_EQ(stream_of("init", 1, 2), 0x96fe86ee400ddc64ull);
}

}  // namespace
}  // namespace lime
