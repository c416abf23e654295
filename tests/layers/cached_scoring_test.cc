// Scoring with cached item rows against the model's own forward pass, and what storing rows in fewer bits
// costs.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <thread>

#include "layers/cached_scoring.h"
#include "tests/layers/gradient_check.h"

namespace lime {
namespace {

RankingModelConfig model_of(const std::string& name) {
  RankingModelConfig c;
  c.name = name;
  c.history_features = 5, c.candidate_features = 6, c.user_features = 3;
  c.width = 12, c.heads = 2, c.links = 5, c.blocks = 2, c.head_hidden = 21, c.max_positions = 4, c.tasks = 2;
  return c;
}

// A model with weights that are not what they start as: biases that are zero hide a sum that is left out.
struct Served {
  explicit Served(const RankingModelConfig& c) : config(c), model(c, store) {
    store.allocate(ctx, 7);
    uint64_t seed = 100;
    for (auto& p : store.all())
      if (p.init == Init::zeros || p.init == Init::ones) fill_random(p.master, ++seed, 0.4);
  }
  Tensor inputs(int64_t rows, int64_t cols, uint64_t seed) { return random_tensor(ctx, rows, cols, seed); }

  Tensor forward(const ConstView& history, const ConstView& candidates, const ConstView& user) {
    const std::vector<int64_t> h = {0, history.rows()}, c = {0, candidates.rows()};
    Tensor logits(Device{}, DType::f32, candidates.rows(), config.tasks);
    model.forward(ctx, {history, candidates, user, Jagged(h), Jagged(c)}, logits);
    return logits;
  }

  RankingModelConfig config;
  Context ctx;
  ParameterStore store;
  RankingModel model;
};

// Rows in memory of their own, exactly as long as they are: a read beyond them is found by the sanitizer.
struct Stored {
  Stored(const ConstView& rows, int64_t weights, RowType type)
      : bytes(static_cast<size_t>(rows.size()) * size_of(type)),
        scales(static_cast<size_t>(2 * rows.rows())) {
    encode_rows(rows, weights, type, bytes.data(), type == RowType::i8 ? scales.data() : nullptr);
    view = {type,         rows.rows(),
            weights,      rows.cols() - weights,
            bytes.data(), type == RowType::i8 ? scales.data() : nullptr};
  }
  std::vector<char> bytes;
  std::vector<float> scales;
  ItemRows view;
};

std::vector<int32_t> all_of(int64_t n) {
  std::vector<int32_t> rows(static_cast<size_t>(n));
  for (size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<int32_t>(i);
  return rows;
}

std::string name_of(RowType type) {
  return type == RowType::f32 ? "f32" : type == RowType::f16 ? "f16" : "i8";
}

// Largest error of a stored value.
double error_of(RowType type, double value, double scale) {
  if (type == RowType::i8) return 0.5 * scale * (1 + 1e-5) + 1e-36;
  return type == RowType::f16 ? std::ldexp(std::abs(value), -11) + std::ldexp(1.0, -25) : 0;
}

using Case = std::tuple<std::string, CandidateAttention, int64_t>;  // model, phi, heads
class CachedModel : public testing::TestWithParam<Case> {};

TEST_P(CachedModel, ScoresAsForwardDoes) {
  RankingModelConfig c = model_of(std::get<0>(GetParam()));
  c.candidate_attention = std::get<1>(GetParam()), c.heads = std::get<2>(GetParam());
  Served served(c);
  CachedScoring cached(served.ctx, served.model);
  EXPECT_EQ(cached.weights(), c.heads * c.links);
  const int64_t items = 75;
  const Tensor candidates = served.inputs(items, c.candidate_features, 2);
  const Tensor rows(Device{}, DType::f32, items, cached.columns());
  cached.item_rows(served.ctx, candidates.view(), rows);
  const Stored stored(rows.view(), cached.weights(), RowType::f32);
  for (const int64_t history : {0, 1, 5, 300}) {
    served.ctx.arena().reset();
    const Tensor h = served.inputs(history, c.history_features, 3), u = served.inputs(1, c.user_features, 4);
    const Tensor expected = served.forward(h.view(), candidates.view(), u.view());
    const Tensor logits(Device{}, DType::f32, items, c.tasks);
    const RequestShare share = cached.request(served.ctx, h.view(), u.view());
    cached.score(served.ctx, share, stored.view, all_of(items), logits);
    for (int64_t i = 0; i < items; ++i)
      for (int64_t t = 0; t < c.tasks; ++t)
        ASSERT_NEAR(logits.view().row<float>(i)[t], expected.view().row<float>(i)[t],
                    2e-5 * (1 + std::abs(expected.view().row<float>(i)[t])))
            << "history " << history << " candidate " << i << " task " << t;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, CachedModel,
                         testing::Combine(testing::Values("lime_mha", "lime_xor"),
                                          testing::Values(CandidateAttention::softmax,
                                                          CandidateAttention::silu),
                                          testing::Values(1, 2, 4)));

TEST(CachedScoring, RefusesModelsWithoutLinks) {
  for (const char* name : {"two_tower", "din", "mha", "hstu"}) {
    EXPECT_FALSE(CachedScoring::supports(name));
    Served served(model_of(name));
    try {
      CachedScoring(served.ctx, served.model);
      FAIL() << name;
    } catch (const UserError& error) {
      EXPECT_NE(std::string(error.what()).find(str("model ", name, " has no links")), std::string::npos)
          << error.what();
    }
  }
}

TEST(CachedScoring, AModelForEachThreadSharesTheWeights) {
  const RankingModelConfig c = model_of("lime_xor");
  Served served(c);
  const Tensor h = served.inputs(9, c.history_features, 3), u = served.inputs(1, c.user_features, 4),
               x = served.inputs(4, c.candidate_features, 2);
  const Tensor expected = served.forward(h.view(), x.view(), u.view());
  const auto serve = [&](std::vector<float>& out) {
    Context ctx;
    ParameterStore store;
    RankingModel model(c, store);
    store.share(served.store);
    const std::vector<int64_t> history = {0, 9}, impressions = {0, 4};
    out.resize(8);
    for (int round = 0; round < 20; ++round) {
      model.forward(ctx, {h.view(), x.view(), u.view(), Jagged(history), Jagged(impressions)},
                    View(out.data(), 4, 2));
      ctx.arena().reset();
    }
  };
  std::vector<float> first, second;
  std::thread other([&] { serve(first); });
  serve(second);
  other.join();
  EXPECT_EQ(0, std::memcmp(first.data(), expected.view().raw(), 8 * sizeof(float)));
  EXPECT_EQ(0, std::memcmp(second.data(), expected.view().raw(), 8 * sizeof(float)));
}

class StoredRows : public testing::TestWithParam<RowType> {
 protected:
  // Rows whose two parts have magnitudes far apart, a row of zeros, and very small values.
  static Tensor rows_of(int64_t count, int64_t weights, int64_t hidden) {
    Context ctx;
    Tensor rows = random_tensor(ctx, count, weights + hidden, 5);
    for (int64_t r = 0; r < count; ++r)
      for (int64_t i = 0; i < weights + hidden; ++i) {
        float& x = rows.view().row<float>(r)[i];
        x *= i < weights ? 0.01f : 30.0f;
        if (r == 1) x = 0;
        if (r == 2) x *= 1e-6f;
        if (r == 3) x *= i % 2 == 0 ? 1e-38f : 0.0f;  // no normal numbers
      }
    return rows;
  }
};

TEST_P(StoredRows, AreWithinTheirBound) {
  for (const auto& [weights, hidden] : {std::pair<int64_t, int64_t>{256, 64}, {13, 7}, {1, 1}, {16, 33}}) {
    const Tensor rows = rows_of(40, weights, hidden);
    const Stored stored(rows.view(), weights, GetParam());
    std::vector<int32_t> chosen = all_of(40);
    std::reverse(chosen.begin(), chosen.end());
    const Tensor out(Device{}, DType::f32, 40, weights + hidden);
    decode_rows(stored.view, chosen, out);
    for (int64_t i = 0; i < 40; ++i) {
      const int32_t r = chosen[static_cast<size_t>(i)];
      for (int64_t c = 0; c < weights + hidden; ++c) {
        const double x = rows.view().row<float>(r)[c],
                     scale = stored.scales[static_cast<size_t>(2 * r + (c < weights ? 0 : 1))];
        ASSERT_NEAR(out.view().row<float>(i)[c], x, error_of(GetParam(), x, scale)) << r << "," << c;
      }
    }
  }
}

TEST_P(StoredRows, ScoreWithinTheBoundOfTheirRequest) {
  constexpr int64_t count = 50, weights = 26, hidden = 19, tasks = 3;
  Context ctx;
  const Tensor rows = rows_of(count, weights, hidden), mix = random_tensor(ctx, weights, hidden, 6),
               base = random_tensor(ctx, 1, hidden, 7), out = random_tensor(ctx, tasks, hidden, 8),
               bias = random_tensor(ctx, 1, tasks, 9);
  const Stored stored(rows.view(), weights, GetParam());
  std::vector<int32_t> chosen = all_of(count);
  std::reverse(chosen.begin(), chosen.end());
  chosen.push_back(3);  // twice
  const auto n = static_cast<int64_t>(chosen.size());
  const Tensor logits(Device{}, DType::f32, n, tasks);
  score_rows(ctx, stored.view, chosen, {mix.view(), base.view()}, {out.view(), bias.view()}, logits);
  double worst = 0;
  for (int64_t i = 0; i < n; ++i) {
    const int32_t r = chosen[static_cast<size_t>(i)];
    const float* row = rows.view().row<float>(r);
    for (int64_t t = 0; t < tasks; ++t) {
      double expected = bias.view().data<float>()[t], bound = 0;
      for (int64_t h = 0; h < hidden; ++h) {
        const auto scale = [&](size_t part) { return stored.scales[static_cast<size_t>(2 * r) + part]; };
        double x = base.view().data<float>()[h] + row[weights + h];
        double off = error_of(GetParam(), row[weights + h], scale(1));
        for (int64_t w = 0; w < weights; ++w) {
          x += double{row[w]} * mix.view().row<float>(w)[h];
          off += error_of(GetParam(), row[w], scale(0)) * std::abs(mix.view().row<float>(w)[h]);
        }
        const double second = out.view().row<float>(t)[h];
        expected += x / (1 + std::exp(-x)) * second;
        bound += 1.1 * off * std::abs(second);  // SiLU's slope is at most 1.1
      }
      ASSERT_NEAR(logits.view().row<float>(i)[t], expected, bound + 2e-4) << "row " << r << " task " << t;
      worst = std::max(worst, std::abs(logits.view().row<float>(i)[t] - expected));
    }
  }
  if (GetParam() == RowType::f32) {
    EXPECT_LT(worst, 2e-4);
  }
  // A candidate's logits do not depend on who else is scored.
  for (int64_t i = 0; i < n; ++i) {
    const Tensor alone(Device{}, DType::f32, 1, tasks);
    score_rows(ctx, stored.view, std::span(&chosen[static_cast<size_t>(i)], 1), {mix.view(), base.view()},
               {out.view(), bias.view()}, alone);
    ASSERT_EQ(0, std::memcmp(alone.view().raw(), logits.view().row<float>(i), tasks * sizeof(float))) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Types, StoredRows, testing::Values(RowType::f32, RowType::f16, RowType::i8),
                         [](const auto& param) { return name_of(param.param); });

TEST(ItemRows, NobodyScoresNothing) {
  Context ctx;
  const Tensor rows(Device{}, DType::f32, 1, 3), mix(Device{}, DType::f32, 2, 1),
      one(Device{}, DType::f32, 1, 1);
  const Stored stored(rows.view(), 2, RowType::f32);
  const Tensor none(Device{}, DType::f32, 0, 1);
  score_rows(ctx, stored.view, {}, {mix.view(), one.view()}, {one.view(), one.view()}, none);
  const int32_t beyond = 1;
  EXPECT_THROW(decode_rows(stored.view, std::span(&beyond, 1), Tensor(Device{}, DType::f32, 1, 3)), Error);
}

TEST(ItemRows, NotANumberStaysOne) {
  Context ctx;
  Tensor rows(Device{}, DType::f32, 1, 3), mix(Device{}, DType::f32, 2, 1), one(Device{}, DType::f32, 1, 1);
  one.view().data<float>()[0] = 1;
  mix.view().data<float>()[1] = std::numeric_limits<float>::quiet_NaN();
  const Stored stored(rows.view(), 2, RowType::i8);
  const Tensor logits(Device{}, DType::f32, 1, 1);
  score_rows(ctx, stored.view, all_of(1), {mix.view(), one.view()}, {one.view(), one.view()}, logits);
  EXPECT_TRUE(std::isnan(logits.view().data<float>()[0]));
}

}  // namespace
}  // namespace lime
