// Rows in bf16: how they are rounded, by which bits, and that small updates are not lost.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "embeddings/row_type.h"
#include "embeddings/sparse_optimizer.h"
#include "embeddings/table_shard.h"
#include "runtime/philox.h"

namespace lime {
namespace {

constexpr uint32_t half_range = 1 << 16;

// Over all 2^16 draws the mean is the value itself, and nothing but its two neighbours is stored.
TEST(Bf16Rows, AreRoundedToTheValueInTheMean) {
  const Philox random(1, stream_of("values"));
  std::vector<float> values = {0.0f,      -0.0f,  1.0f,       -1.0f,         0x1.fffffep0f,
                               0x1p-126f, 3e-39f, -0x1p-149f, 0x1.fe0002p3f, 3.3895e38f};
  for (uint64_t i = 0; i < 40; ++i)
    values.push_back(static_cast<float>(std::exp(10 * random.normal(i)) * (i % 2 == 0 ? 1 : -1)));
  for (const float x : values) {
    const float down = to_float(rounded_stochastically(x, 0)),
                up = to_float(rounded_stochastically(x, half_range - 1));
    EXPECT_LE(std::abs(down), std::abs(x)) << x;
    EXPECT_GE(std::abs(up), std::abs(x)) << x;
    EXPECT_LE(rounded_stochastically(x, half_range - 1).bits - rounded_stochastically(x, 0).bits, 1) << x;
    double sum = 0;
    for (uint32_t r = 0; r < half_range; ++r) {
      const float stored = to_float(rounded_stochastically(x, static_cast<uint16_t>(r)));
      ASSERT_TRUE(stored == down || stored == up) << x;
      sum += stored;
    }
    EXPECT_EQ(sum / half_range, double{x});
    EXPECT_EQ(rounded_stochastically(down, half_range - 1), to_bf16(down)) << "what bf16 has stays";
  }
}

TEST(Bf16Rows, KeepWhatIsNotFinite) {
  const float infinity = std::numeric_limits<float>::infinity();
  for (uint32_t r = 0; r < half_range; r += 255) {
    const auto random = static_cast<uint16_t>(r);
    EXPECT_EQ(to_float(rounded_stochastically(infinity, random)), infinity);
    EXPECT_EQ(to_float(rounded_stochastically(-infinity, random)), -infinity);
    for (const uint32_t bits : {0x7fc00000u, 0xffc00000u, 0x7f800001u, 0x7fffffffu, 0xffffffffu})
      EXPECT_TRUE(std::isnan(to_float(rounded_stochastically(std::bit_cast<float>(bits), random)))) << bits;
  }
}

struct Rows {
  Rows(const TableConfig& t, int64_t count) : table(t), dim(static_cast<size_t>(t.dim)) {
    const Philox random(3, stream_of("rows"));
    const auto n = static_cast<size_t>(count);
    state_width = static_cast<size_t>(state_width_of(t.optimizer, t.dim));
    for (size_t i = 0; i < n * dim; ++i) {
      values.push_back(to_bf16(static_cast<float>(random.normal(i))));
      gradient.push_back(static_cast<float>(random.normal(i + n * dim)));
    }
    state.resize(n * state_width + 1);
    for (size_t r = 0; r < n; ++r) set_initial_state(t, &state[r * state_width]);
  }
  // Updates rows first, first + 1, ...; row r is that of id 100 + r.
  void update(const RoundingKey& key, size_t first, size_t count) {
    std::vector<RowUpdate> updates;
    for (size_t r = first; r < first + count; ++r)
      updates.push_back(
          {&values[r * dim], &state[r * state_width], &gradient[r * dim], 100 + static_cast<int64_t>(r)});
    update_rows(table, 0.5, 1, key, updates);
  }
  std::vector<float> widened_values() const {
    std::vector<float> all;
    for (const bf16 x : values) all.push_back(to_float(x));
    return all;
  }

  TableConfig table;
  size_t dim, state_width = 0;
  std::vector<bf16> values;
  std::vector<float> state, gradient;
};

class Bf16Update : public testing::TestWithParam<std::tuple<SparseOptimizer, int64_t>> {};

// An update is the one of f32 rows, rounded by the bits that sparse_optimizer.h names.
TEST_P(Bf16Update, IsThatOfF32RowsRounded) {
  const auto [optimizer, dim] = GetParam();
  TableConfig config{.name = "t", .dim = dim, .type = DType::bf16, .optimizer = optimizer};
  constexpr size_t count = 9;
  Rows rows(config, count), apart(config, count);
  config.type = DType::f32;
  const auto blocks = static_cast<uint64_t>((dim + 7) / 8);
  for (uint64_t number = 1; number < 4; ++number) {
    std::vector<float> expected = rows.widened_values(), state = rows.state;
    std::vector<RowUpdate> updates;
    for (size_t r = 0; r < count; ++r)
      updates.push_back({&expected[r * rows.dim], &state[r * rows.state_width], &rows.gradient[r * rows.dim],
                         100 + static_cast<int64_t>(r)});
    update_rows(config, 0.5, 1, {}, updates);
    const RoundingKey key{11, rounding_prefix("t"), number};
    rows.update(key, 0, count);
    EXPECT_EQ(rows.state, state);
    for (size_t r = 0; r < count; ++r) {
      const Philox philox(11, stream_of("embedding rounding", stream_of("t"), 100 + r));
      for (size_t c = 0; c < rows.dim; ++c) {
        const auto block = philox.block(number * blocks + c / 8);
        const auto random = static_cast<uint16_t>(block[c % 8 / 2] >> (c % 2 * 16));
        ASSERT_EQ(rows.values[r * rows.dim + c].bits,
                  rounded_stochastically(expected[r * rows.dim + c], random).bits)
            << "row " << r << " column " << c;
      }
    }
    // One at a time, and backwards: the same.
    for (size_t r = count; r-- > 0;) apart.update(key, r, 1);
    EXPECT_EQ(apart.values, rows.values);
  }
}

INSTANTIATE_TEST_SUITE_P(All, Bf16Update,
                         testing::Combine(testing::Values(SparseOptimizer::sgd,
                                                          SparseOptimizer::rowwise_adagrad,
                                                          SparseOptimizer::adagrad, SparseOptimizer::adam),
                                          testing::Values(1, 7, 8, 16, 64, 67)));

// Seed, table, id and number of the update: each gives other bits.
TEST(Bf16Rows, DrawByAllThatTheyAreKeyedBy) {
  const TableConfig config{.name = "t", .dim = 64, .type = DType::bf16, .optimizer = SparseOptimizer::sgd};
  const auto after = [&](const RoundingKey& key, size_t row) {
    Rows rows(config, 4);
    for (size_t r = 1; r < 4; ++r) {  // the same row, under other ids
      std::copy_n(rows.values.begin(), 64, rows.values.begin() + static_cast<std::ptrdiff_t>(64 * r));
      std::copy_n(rows.gradient.begin(), 64, rows.gradient.begin() + static_cast<std::ptrdiff_t>(64 * r));
    }
    rows.update(key, 0, 4);
    const auto begin = rows.values.begin() + static_cast<std::ptrdiff_t>(64 * row);
    return std::vector<bf16>(begin, begin + 64);
  };
  const RoundingKey key{11, rounding_prefix("t"), 5};
  const auto base = after(key, 0);
  EXPECT_EQ(after(key, 0), base);
  EXPECT_NE(after(key, 1), base);
  EXPECT_NE(after({12, key.stream_prefix, 5}, 0), base);
  EXPECT_NE(after({11, rounding_prefix("u"), 5}, 0), base);
  EXPECT_NE(after({11, key.stream_prefix, 6}, 0), base);
}

// Each update is a hundredth of half a unit in the last place: rounded to nearest, the row would stay as it
// is for ever. Rounded stochastically it moves as far as in f32, within what chance allows.
TEST(Bf16Rows, UpdatesTooSmallToBeSeenAreNotLost) {
  constexpr int64_t dim = 64, steps = 8000;
  constexpr float value = 1.75f, ulp = 0x1p-7f, update = ulp / 200;
  const TableConfig config{.name = "t",
                           .dim = dim,
                           .type = DType::bf16,
                           .optimizer = SparseOptimizer::sgd,
                           .learning_rate = update};
  ASSERT_EQ(to_bf16(value - update), to_bf16(value)) << "to nearest, an update would be lost";
  std::vector<bf16> row(dim, to_bf16(value));
  const std::vector<float> gradient(dim, 1.0f);
  const RowUpdate one{row.data(), nullptr, gradient.data(), 7};
  for (uint64_t step = 0; step < steps; ++step)
    update_rows(config, 1, 1, {1, rounding_prefix("t"), step}, {&one, 1});
  // An ulp with a probability of 1/200: a variance of less than update * ulp a step.
  const double moved = double{update} * steps, deviation = std::sqrt(double{update} * ulp * steps);
  double mean = 0;
  for (const bf16 x : row) {
    EXPECT_NEAR(to_float(x), value - moved, 6 * deviation);
    mean += to_float(x) / double{dim};
  }
  EXPECT_NEAR(mean, value - moved, 4 * deviation / std::sqrt(double{dim}));
  EXPECT_GT(moved, 40 * deviation / std::sqrt(double{dim})) << "the test can tell";
}

// A new row is what an f32 table would draw, to nearest.
TEST(Bf16Rows, BeginAsTheNearestToThoseInF32) {
  TableConfig config{.name = "t", .dim = 33, .init_std = 0.3};
  const TableShard exact(config, 4);
  config.type = DType::bf16;
  TableShard half(config, 4);
  std::vector<float> drawn(33);
  std::vector<bf16> stored(33);
  exact.initial_row(12, drawn.data());
  half.initial_row(12, stored.data());
  for (size_t c = 0; c < 33; ++c) EXPECT_EQ(stored[c], to_bf16(drawn[c]));
  half.admit(12, stored.data());
  const TableRows rows = half.bucket_rows(bucket_of(12));
  ASSERT_EQ(rows.ids, std::vector<int64_t>{12});
  for (size_t c = 0; c < 33; ++c) EXPECT_EQ(rows.values[c], to_float(stored[c]));
}

// Half the memory, but for ids and state.
TEST(Bf16Rows, TakeHalfTheMemory) {
  const auto bytes_of = [](DType type) {
    TableShard shard({.name = "t", .dim = 64, .type = type, .optimizer = SparseOptimizer::sgd}, 1);
    const std::vector<float> row(64);
    for (int64_t id = 0; id < 1 << 17; ++id) shard.admit(id, row.data());
    return shard.bytes() - shard.ids().bytes();
  };
  EXPECT_EQ(bytes_of(DType::f32), int64_t{1 << 17} * 64 * 4);
  EXPECT_EQ(bytes_of(DType::bf16), int64_t{1 << 17} * 64 * 2);
}

}  // namespace
}  // namespace lime
