// Scoring with cached item rows against the model's own forward pass, and what storing rows in fewer bits
// costs.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <thread>

#include "layers/cached_scoring.h"
#include "layers/device_offsets.h"
#include "runtime/kernels_amx.h"
#include "tests/layers/gradient_check.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

RankingModelConfig model_of(const std::string& name) {
  RankingModelConfig c;
  c.name = name;
  c.history_features = 5, c.candidate_features = 6, c.user_features = 3;
  c.width = 12, c.heads = 2, c.links = 5, c.blocks = 2, c.head_hidden = 21, c.max_positions = 4, c.tasks = 2;
  return c;
}

// A device and the type of rows there.
struct On {
  Device device;
  DType dtype;
  std::string name() const { return str(device == Device{} ? "cpu" : "cuda", "_", to_string(dtype)); }
};
std::vector<On> everywhere() {
  std::vector<On> all = {{Device{}, DType::f32}};
  for (const Device device : test_cuda_devices()) {
    all.push_back({device, DType::f32});
    all.push_back({device, DType::bf16});
  }
  return all;
}

// A model with weights that are not what they start as: biases that are zero hide a sum that is left out.
struct Served {
  explicit Served(const RankingModelConfig& c, On on = {Device{}, DType::f32})
      : config(c), ctx(on.device, on.dtype), model(c, store) {
    DeviceTest::context = &ctx;
    store.allocate(ctx, 7);
    uint64_t seed = 100;
    for (auto& p : store.all())
      if (p.init == Init::zeros || p.init == Init::ones) fill_random(p.master, ++seed, 0.4);
    store.refresh(ctx);
  }
  ~Served() { DeviceTest::context = nullptr; }
  Tensor inputs(int64_t rows, int64_t cols, uint64_t seed) { return random_tensor(ctx, rows, cols, seed); }
  Tensor logits_of(int64_t candidates) const {
    return Tensor(ctx.device(), DType::f32, candidates, config.tasks);
  }

  Tensor forward(const ConstView& history, const ConstView& candidates, const ConstView& user) {
    const std::vector<int64_t> h = {0, history.rows()}, c = {0, candidates.rows()};
    Tensor logits = logits_of(candidates.rows());
    model.forward(ctx, {history, candidates, user, on_device(ctx, h), on_device(ctx, c)}, logits);
    return logits;
  }

  RankingModelConfig config;
  Context ctx;
  ParameterStore store;
  RankingModel model;
};

// Rows in memory of their own, exactly as long as they are: a read beyond them is found by the sanitizer, and
// on a device by guards.
struct Stored {
  Stored(Context& ctx, const ConstView& rows, int64_t weights, RowType type)
      : bytes(static_cast<size_t>(rows.size()) * size_of(type)),
        scales(static_cast<size_t>(2 * rows.rows())) {
    const std::vector<double> wide = values_of(rows);
    std::vector<float> host(wide.begin(), wide.end());
    encode_rows(ConstView(host.data(), rows.rows(), rows.cols()), weights, type, bytes.data(),
                type == RowType::i8 ? scales.data() : nullptr);
    const void *values = bytes.data(), *scale = scales.data();
    if (ctx.device().type == DeviceType::cuda) {
      values = upload(ctx, bytes.data(), bytes.size(), there[0]);
      scale = upload(ctx, scales.data(), scales.size() * sizeof(float), there[1]);
    }
    view = {type,    rows.rows(),
            weights, rows.cols() - weights,
            values,  type == RowType::i8 ? static_cast<const float*>(scale) : nullptr};
  }
  static const void* upload(Context& ctx, const void* from, size_t size, std::shared_ptr<void>& to) {
    to = cuda::allocate(ctx.device().index, size);
    ctx.stream().to_device(from, size, to.get(), size, {1, size});
    return to.get();
  }
  std::vector<char> bytes;
  std::vector<float> scales;
  std::shared_ptr<void> there[2];
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

struct Case {
  std::string model;
  CandidateAttention phi;
  int64_t heads;
  On on;
};
// On devices, where the emulator takes its time, not all of them.
std::vector<Case> cases() {
  std::vector<Case> all;
  for (const std::string model : {"lime_mha", "lime_xor"})
    for (const auto phi : {CandidateAttention::softmax, CandidateAttention::silu})
      for (const int64_t heads : {1, 2, 4})
        for (const On& on : everywhere())
          if (on.device == Device{} ||
              (heads == 2 && (model == "lime_mha" || phi == CandidateAttention::softmax)))
            all.push_back({model, phi, heads, on});
  return all;
}
class CachedModel : public testing::TestWithParam<Case> {};

TEST_P(CachedModel, ScoresAsForwardDoes) {
  const On on = GetParam().on;
  if (const std::string reason = skip_reason(on.device); !reason.empty()) GTEST_SKIP() << reason;
  const bool here = on.device == Device{};
  RankingModelConfig c = model_of(GetParam().model);
  c.candidate_attention = GetParam().phi, c.heads = GetParam().heads;
  Served served(c, on);
  CachedScoring cached(served.ctx, served.model);
  EXPECT_EQ(cached.weights(), c.heads * c.links);
  const int64_t items = 75;
  const Tensor candidates = served.inputs(items, c.candidate_features, 2);
  const Tensor rows(on.device, on.dtype, items, cached.columns());
  cached.item_rows(served.ctx, candidates.view(), rows);
  const Stored stored(served.ctx, rows.view(), cached.weights(), RowType::f32);
  // bf16 rounds by 2^-9 at each of about 20 steps (model_test.cc), here and in forward in turns.
  const double tolerance = on.dtype == DType::bf16 ? 0.04 : 2e-5;
  for (const int64_t history : {0, 1, 5, here ? 300 : 70}) {
    served.ctx.arena().reset();
    const Tensor h = served.inputs(history, c.history_features, 3), u = served.inputs(1, c.user_features, 4);
    const Tensor expected = served.forward(h.view(), candidates.view(), u.view());
    const Tensor logits = served.logits_of(items);
    const RequestShare share = cached.request(served.ctx, h.view(), u.view());
    cached.score(served.ctx, share, stored.view, all_of(items), logits);
    const auto found = values_of(logits.view()), want = values_of(expected.view());
    for (size_t i = 0; i < want.size(); ++i)
      ASSERT_NEAR(found[i], want[i], tolerance * (1 + std::abs(want[i])))
          << "history " << history << " candidate " << i / 2 << " task " << i % 2;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, CachedModel, testing::ValuesIn(cases()), [](const auto& tested) {
  const Case& c = tested.param;
  return str(c.model, c.phi == CandidateAttention::softmax ? "_softmax_" : "_silu_", c.heads, "_",
             c.on.name());
});

TEST(CachedScoring, RefusesModelsWithoutLinks) {
  for (const char* name : {"two_tower", "din", "mha", "hstu"}) {
    EXPECT_FALSE(CachedScoring::supports(name));
    Served served(model_of(name));
    const std::string error = user_error([&] { CachedScoring(served.ctx, served.model); });
    EXPECT_NE(error.find(str("model ", name, " has no links")), std::string::npos) << error;
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

class StoredRows : public DeviceTest, public testing::WithParamInterface<std::tuple<RowType, On>> {
 protected:
  StoredRows() : DeviceTest(std::get<On>(GetParam()).device, std::get<On>(GetParam()).dtype) {}
  static RowType type() { return std::get<RowType>(GetParam()); }
  Tensor floats(int64_t rows, int64_t cols) const { return Tensor(ctx.device(), DType::f32, rows, cols); }
  Tensor random_floats(int64_t rows, int64_t cols, uint64_t seed) const {
    Tensor t = floats(rows, cols);
    fill_random(t, seed);
    return t;
  }
  // On the host: rows whose two parts have magnitudes far apart, a row of zeros, and very small values.
  static Tensor rows_of(int64_t count, int64_t weights, int64_t hidden) {
    Context host;
    Tensor rows = random_tensor(host, count, weights + hidden, 5);
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
  const double rounding = ctx.dtype() == DType::bf16 ? 1.0 / 256 : 0;  // of what is decoded
  for (const auto& [weights, hidden] : {std::pair<int64_t, int64_t>{256, 64}, {13, 7}, {1, 1}, {16, 33}}) {
    const Tensor rows = rows_of(40, weights, hidden);
    const Stored stored(ctx, rows.view(), weights, type());
    std::vector<int32_t> chosen = all_of(40);
    std::reverse(chosen.begin(), chosen.end());
    const Tensor out(ctx.device(), ctx.dtype(), 40, weights + hidden);
    decode_rows(ctx, stored.view, chosen, out);
    const auto decoded = values_of(out.view());
    for (int64_t i = 0; i < 40; ++i) {
      const int32_t r = chosen[static_cast<size_t>(i)];
      for (int64_t c = 0; c < weights + hidden; ++c) {
        const double x = rows.view().row<float>(r)[c],
                     scale = stored.scales[static_cast<size_t>(2 * r + (c < weights ? 0 : 1))];
        ASSERT_NEAR(decoded[static_cast<size_t>(i * (weights + hidden) + c)], x,
                    error_of(type(), x, scale) + rounding * std::abs(x) + (rounding > 0 ? 1e-38 : 0))
            << r << "," << c;
      }
    }
  }
}

TEST_P(StoredRows, ScoreWithinTheBoundOfTheirRequest) {
  // More than a block of candidates, weights and hidden columns.
  constexpr int64_t count = 50, weights = 45, hidden = 67, tasks = 3;
  const Tensor rows = rows_of(count, weights, hidden), mix = random_floats(weights, hidden, 6),
               base = random_floats(1, hidden, 7), out = random_floats(tasks, hidden, 8),
               bias = random_floats(1, tasks, 9);
  const Stored stored(ctx, rows.view(), weights, type());
  std::vector<int32_t> chosen = all_of(count);
  std::reverse(chosen.begin(), chosen.end());
  chosen.push_back(3);  // twice
  const auto n = static_cast<int64_t>(chosen.size());
  const Tensor logits = floats(n, tasks);
  const auto score = [&](std::span<const int32_t> of, const Tensor& to) {
    score_rows(ctx, stored.view, of, {mix.view(), base.view()}, {out.view(), bias.view()}, to);
    return values_of(to.view());
  };
  const auto found = score(chosen, logits), mixes = values_of(mix.view()), bases = values_of(base.view()),
             outs = values_of(out.view()), biases = values_of(bias.view());
  double worst = 0;
  for (int64_t i = 0; i < n; ++i) {
    const int32_t r = chosen[static_cast<size_t>(i)];
    const float* row = rows.view().row<float>(r);
    for (int64_t t = 0; t < tasks; ++t) {
      double expected = biases[static_cast<size_t>(t)], bound = 0;
      for (int64_t h = 0; h < hidden; ++h) {
        const auto scale = [&](size_t part) { return stored.scales[static_cast<size_t>(2 * r) + part]; };
        double x = bases[static_cast<size_t>(h)] + row[weights + h];
        double off = error_of(type(), row[weights + h], scale(1));
        for (int64_t w = 0; w < weights; ++w) {
          const double m = mixes[static_cast<size_t>(w * hidden + h)];
          x += double{row[w]} * m;
          off += error_of(type(), row[w], scale(0)) * std::abs(m);
        }
        const double second = outs[static_cast<size_t>(t * hidden + h)];
        expected += x / (1 + std::exp(-x)) * second;
        bound += 1.1 * off * std::abs(second);  // SiLU's slope is at most 1.1
      }
      const double got = found[static_cast<size_t>(i * tasks + t)];
      ASSERT_NEAR(got, expected, bound + 5e-4) << "row " << r << " task " << t;
      worst = std::max(worst, std::abs(got - expected));
    }
  }
  if (type() == RowType::f32) {
    EXPECT_LT(worst, 5e-4);
  }
  // A candidate's logits do not depend on who else is scored.
  for (int64_t i = 0; i < n; i += ctx.device() == Device{} ? 1 : 9) {
    const auto alone = score(std::span(&chosen[static_cast<size_t>(i)], 1), floats(1, tasks));
    ASSERT_TRUE(std::equal(alone.begin(), alone.end(), found.begin() + i * tasks)) << i;
  }
}

// Of several blocks of products, and with sides from which on BLAS takes products of many rows; with the tile
// unit, where there is one, and without.
TEST_P(StoredRows, ScoreAlikeInAnyCompany) {
  if (ctx.device() != Device{}) GTEST_SKIP() << "blocks and kernels of the CPU";
  constexpr int64_t count = 1100, tasks = 2;
  std::vector<int32_t> chosen = all_of(count);
  for (const auto& [weights, hidden] : {std::pair<int64_t, int64_t>{300, 64}, {520, 514}}) {
    const Tensor rows = rows_of(count, weights, hidden), mix = random_floats(weights, hidden, 6),
                 base = random_floats(1, hidden, 7), out = random_floats(tasks, hidden, 8),
                 bias = random_floats(1, tasks, 9), all = floats(count, tasks);
    const Stored stored(ctx, rows.view(), weights, type());
    const auto score = [&](size_t first, size_t n, const View& to) {
      score_rows(ctx, stored.view, std::span(chosen).subspan(first, n), {mix.view(), base.view()},
                 {out.view(), bias.view()}, to);
    };
    for (const bool amx : {false, true}) {
      cpu::allow_amx(amx);
      score(0, count, all);
      for (const auto& [first, n] : {std::pair<size_t, size_t>{0, 1}, {1099, 1}, {7, 40}, {300, 600}}) {
        const Tensor some = floats(static_cast<int64_t>(n), tasks);
        score(first, n, some);
        for (size_t i = 0; i < n * tasks; ++i)
          ASSERT_EQ(some.view().data<float>()[i], all.view().data<float>()[first * tasks + i])
              << weights << "+" << hidden << ", " << n << " from " << first << (amx ? ", AMX: " : ": ") << i;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, StoredRows,
                         testing::Combine(testing::Values(RowType::f32, RowType::f16, RowType::i8),
                                          testing::ValuesIn(everywhere())),
                         [](const auto& tested) {
                           return name_of(std::get<RowType>(tested.param)) + "_" +
                                  std::get<On>(tested.param).name();
                         });

class ItemRowsOn : public DeviceTest, public testing::WithParamInterface<Device> {
 protected:
  ItemRowsOn() : DeviceTest(GetParam()) {}
  Tensor floats(const std::vector<double>& values, int64_t rows = 1) const {
    Tensor t(ctx.device(), DType::f32, rows, static_cast<int64_t>(values.size()) / rows);
    set_values(t, values);
    return t;
  }
};
INSTANTIATE_TEST_SUITE_P(Devices, ItemRowsOn, testing::ValuesIn(test_devices()), device_name);

TEST_P(ItemRowsOn, NobodyScoresNothing) {
  const Tensor rows = floats({0, 0, 0}), mix = floats({0, 0}, 2), one = floats({0});
  const Stored stored(ctx, rows.view(), 2, RowType::f32);
  const Tensor none(ctx.device(), DType::f32, 0, 1);
  score_rows(ctx, stored.view, {}, {mix.view(), one.view()}, {one.view(), one.view()}, none);
  const int32_t beyond = 1;
  EXPECT_THROW(decode_rows(ctx, stored.view, std::span(&beyond, 1), floats({0, 0, 0})), Error);
}

TEST_P(ItemRowsOn, NotANumberStaysOne) {
  const Tensor rows = floats({0, 0, 0}), one = floats({1}),
               mix = floats({0, std::numeric_limits<double>::quiet_NaN()}, 2);
  const Stored stored(ctx, rows.view(), 2, RowType::i8);
  const Tensor logits = floats({0});
  score_rows(ctx, stored.view, all_of(1), {mix.view(), one.view()}, {one.view(), one.view()}, logits);
  EXPECT_TRUE(std::isnan(value_at(logits.view(), 0, 0)));
}

}  // namespace
}  // namespace lime
