// Whole models on every device: gradients, edge cases, independence of requests, readiness of gradients,
// types.
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "layers/decoupled_attention.h"
#include "layers/ranking_model.h"
#include "tests/layers/gradient_check.h"

namespace lime {
namespace {

RankingModelConfig small(const std::string& name) {
  RankingModelConfig c;
  c.name = name;
  c.history_features = 5, c.candidate_features = 4, c.user_features = 3;
  c.width = 6, c.heads = 2, c.links = 5, c.blocks = 2, c.head_hidden = 7, c.max_positions = 4, c.tasks = 2;
  return c;
}

// The context that tensors are read and written by, while it lives.
struct CurrentContext {
  explicit CurrentContext(Context& ctx) { DeviceTest::context = &ctx; }
  ~CurrentContext() { DeviceTest::context = nullptr; }
};

// A model, its batch and the gradients of one step. Waits for the device after each part.
struct Step {
  Step(const RankingModelConfig& c, Device device, DType dtype, const std::vector<int64_t>& histories,
       const std::vector<int64_t>& impressions)
      : ctx(device, dtype),
        current(ctx),
        model(c, store),
        history(offsets_of(histories)),
        candidates(offsets_of(impressions)),
        history_jagged(ctx, history),
        candidates_jagged(ctx, candidates),
        h(random_tensor(ctx, history.back(), c.history_features, 1)),
        x(random_tensor(ctx, candidates.back(), c.candidate_features, 2)),
        u(random_tensor(ctx, static_cast<int64_t>(histories.size()), c.user_features, 3)),
        r(device, ctx.parameter_dtype(), x.rows(), c.tasks),
        logits(device, ctx.parameter_dtype(), x.rows(), c.tasks),
        dh(device, dtype, h.rows(), h.cols()),
        dx(device, dtype, x.rows(), x.cols()),
        du(device, dtype, u.rows(), u.cols()) {
    store.allocate(ctx, 7);
    fill_random(r, 4);
    uint64_t seed = 100;
    for (auto& p : store.all()) {
      // Values of no particular kind: what begins as zero or one would hide mistakes.
      const double deviation = p.role == Role::weight ? 1 / std::sqrt(static_cast<double>(p.rows)) : 0.4;
      if (p.init == Init::zeros || p.init == Init::ones) fill_random(p.master, ++seed, deviation);
    }
    store.refresh(ctx);
    // What a step must overwrite.
    fill_random(store.grads(), 11), fill_random(dh, 12), fill_random(dx, 13), fill_random(du, 14);
  }
  double forward() {
    ctx.arena().reset();
    model.forward(ctx, {h.view(), x.view(), u.view(), history_jagged, candidates_jagged}, logits);
    ctx.synchronize();
    return dot(logits.view(), r.view());
  }
  void backward() {
    model.backward(ctx, r.view(), {dh, dx, du});
    ctx.synchronize();
  }
  bool finite() const {
    for (const View v : {logits.view(), store.grads(), dh.view(), dx.view(), du.view()})
      for (const double value : values_of(v))
        if (!std::isfinite(value)) return false;
    return true;
  }

  Context ctx;
  CurrentContext current;
  ParameterStore store;
  RankingModel model;
  std::vector<int64_t> history, candidates;
  DeviceJagged history_jagged, candidates_jagged;
  Tensor h, x, u, r, logits, dh, dx, du;
};

struct ModelOn {
  std::string name;
  Device device;
};

std::vector<ModelOn> models() {
  std::vector<ModelOn> all;
  for (const std::string name :
       {"two_tower", "din", "mha", "truncated_mha", "linformer", "hstu", "lime_mha", "lime_xor"})
    for (const Device device : test_devices()) all.push_back({name, device});
  return all;
}

class Models : public testing::TestWithParam<ModelOn> {
 protected:
  void SetUp() override {
    if (const std::string reason = skip_reason(device()); !reason.empty()) GTEST_SKIP() << reason;
  }
  const std::string& name() const { return GetParam().name; }
  Device device() const { return GetParam().device; }
  bool on_cpu() const { return device() == Device{}; }
};
INSTANTIATE_TEST_SUITE_P(All, Models, testing::ValuesIn(models()), [](const auto& tested) {
  return tested.param.name + (tested.param.device == Device{} ? "" : "_cuda");
});

// What a step computes, on the host, by name.
std::map<std::string, std::vector<double>> results(Step& s) {
  s.forward(), s.backward();
  std::map<std::string, std::vector<double>> all{{"logits", values_of(s.logits.view())},
                                                 {"history", values_of(s.dh.view())},
                                                 {"candidates", values_of(s.dx.view())},
                                                 {"user", values_of(s.du.view())}};
  for (const auto& p : s.store.all()) all[p.name] = values_of(p.grad);
  return all;
}

void expect_agreement(const std::map<std::string, std::vector<double>>& want,
                      const std::map<std::string, std::vector<double>>& got, double tolerance) {
  for (const auto& [name, values] : want) {
    const auto& others = got.at(name);
    ASSERT_EQ(values.size(), others.size()) << name;
    double scale = 1e-3, worst = 0;
    for (size_t i = 0; i < values.size(); ++i) {
      scale = std::max(scale, std::abs(values[i]));
      worst = std::max(worst, std::abs(values[i] - others[i]));
    }
    EXPECT_LE(worst, tolerance * scale) << name;
  }
}

// Against finite differences on the CPU; elsewhere every entry against the CPU's.
void check_gradients(const RankingModelConfig& c, Device device, const std::vector<int64_t>& histories,
                     const std::vector<int64_t>& impressions, int64_t samples) {
  Step here(c, Device{}, DType::f64, histories, impressions);
  const auto gradients = results(here);
  if (device == Device{}) {
    GradientCheck check(samples);
    check.add(here.store);
    check.add("history", here.h, here.dh);
    check.add("candidates", here.x, here.dx);
    check.add("user", here.u, here.du);
    check.check([&] { return here.forward(); });
  } else {
    Step there(c, device, DType::f64, histories, impressions);
    expect_agreement(gradients, results(there), 1e-12);
  }
}

TEST_P(Models, GradientsOfAllInputsAndParameters) {
  for (const auto phi : {CandidateAttention::softmax, CandidateAttention::silu}) {
    RankingModelConfig c = small(name());
    c.candidate_attention = phi;
    check_gradients(c, device(), {0, 1, 7, 60, 0, 2}, {2, 0, 1, 3, 1, 0}, 50);
  }
}

TEST_P(Models, WorkWithoutUserFeaturesAndPositions) {
  RankingModelConfig c = small(name());
  c.user_features = 0, c.max_positions = 0, c.blocks = 1, c.tasks = 1;
  check_gradients(c, device(), {3, 0}, {1, 2}, 20);
}

TEST_P(Models, F32AgreesWithF64) {
  RankingModelConfig c = small(name());
  c.width = 32, c.heads = 2, c.links = 16, c.blocks = 3, c.head_hidden = 16;
  const std::vector<int64_t> histories{0, 1, on_cpu() ? 2000 : 200, 60}, impressions{1, 2, 5, 0};
  Step wide(c, Device{}, DType::f64, histories, impressions);
  const auto want = results(wide);
  Step narrow(c, device(), DType::f32, histories, impressions);
  // Sums of up to 2000 roundings of 6e-8 grow like their square root (2.7e-6), through about ten layers.
  expect_agreement(want, results(narrow), 3e-5);
}

TEST_P(Models, Bf16AgreesWithF32) {
  if (on_cpu()) return;  // computes with no bf16
  RankingModelConfig c = small(name());
  c.width = 32, c.heads = 2, c.links = 16, c.blocks = 2, c.head_hidden = 16;
  const std::vector<int64_t> histories{0, 1, 200, 60}, impressions{1, 2, 5, 0};
  Step narrow(c, Device{}, DType::f32, histories, impressions);
  const auto want = results(narrow);
  Step half(c, device(), DType::bf16, histories, impressions);
  // A value is rounded by up to 2^-8 of itself, 2^-9.8 in the mean square, at each of about 20 steps there
  // and back; independent roundings add up like their root: 2^-9.8 * sqrt(20) = 0.5%. Of a thousand values
  // the worst is four times as far off, and twice that where it is a sum of terms larger than itself: 4%.
  // With the order of roundings the worst of all (hstu's token.bias, a sum over all events) moves from 3.4%
  // to 4.1%.
  expect_agreement(want, results(half), 0.05);
}

TEST_P(Models, EmptyHistoriesCandidatesAndBatchesAreFinite) {
  const std::vector<std::pair<std::vector<int64_t>, std::vector<int64_t>>> cases{
      {{}, {}}, {{0}, {0}}, {{0}, {1}}, {{4}, {0}}, {{0, 0, 0}, {2, 0, 1}}, {{3, 5}, {0, 0}}};
  for (const auto& [histories, impressions] : cases) {
    Step s(small(name()), device(), DType::f32, histories, impressions);
    s.forward();
    s.backward();
    EXPECT_TRUE(s.finite()) << histories.size() << " requests";
    if (s.x.rows() == 0) {  // no logits, no gradients: and nothing left over from an earlier step
      EXPECT_EQ(dot(s.store.grads(), s.store.grads()), 0.0);
    }
  }
}

TEST_P(Models, ARequestSeesOnlyItsOwnHistory) {
  Step s(small(name()), device(), DType::f32, {20, 300, 7, 0}, {3, 2, 4, 1});
  s.forward();
  const auto before = values_of(s.logits.view());
  fill_random(s.h.view().slice_rows(s.history[1], s.history[2]), 77);
  s.forward();
  const auto after = values_of(s.logits.view());
  for (int64_t row = 0; row < s.logits.rows(); ++row) {
    const bool own = row >= s.candidates[1] && row < s.candidates[2];
    const auto first = static_cast<size_t>(row * s.logits.cols());
    const bool same = before[first] == after[first];
    EXPECT_EQ(same, !own) << "candidate " << row;  // bit for bit
  }
}

TEST(TruncatedMha, IsMhaOverTheLastEvents) {
  const std::vector<int64_t> impressions{2, 1, 0, 3}, lengths{9, 3, 20, 0};
  std::vector<int64_t> last;
  for (const int64_t n : lengths) last.push_back(std::min<int64_t>(n, small("mha").links));
  Step truncated(small("truncated_mha"), Device{}, DType::f32, lengths, impressions);
  Step cut(small("mha"), Device{}, DType::f32, last, impressions);
  for (size_t b = 0; b < lengths.size(); ++b)
    copy(cut.ctx, truncated.h.view().slice_rows(truncated.history[b + 1] - last[b], truncated.history[b + 1]),
         cut.h.view().slice_rows(cut.history[b], cut.history[b + 1]));
  truncated.forward(), cut.forward();
  EXPECT_EQ(values_of(truncated.logits.view()), values_of(cut.logits.view()));
}

TEST_P(Models, EachGradientIsReadyOnceAndFinalThen) {
  Step s(small(name()), device(), DType::f32, {20, 0, 7}, {3, 2, 4});
  std::map<std::string, std::vector<float>> at_ready;
  int64_t last = static_cast<int64_t>(s.store.all().size()), steps_back = 0;
  s.store.on_ready([&](const Parameter& p) {
    EXPECT_TRUE(at_ready.emplace(p.name, read_values<float>(p.grad)).second) << p.name << " twice";
    steps_back += p.index < last;
    last = p.index;
  });
  s.forward();
  s.backward();
  EXPECT_EQ(at_ready.size(), s.store.all().size());
  EXPECT_GE(4 * steps_back, 3 * static_cast<int64_t>(at_ready.size()));  // about reverse order
  for (const auto& p : s.store.all()) {
    EXPECT_EQ(at_ready[p.name], read_values<float>(p.grad)) << p.name;
  }
}

TEST_P(Models, SameInputsSameBitsAndNoNewMemory) {
  Step s(small(name()), device(), DType::f32, {20, on_cpu() ? 300 : 70, 7, 0}, {3, 2, 4, 1});
  const auto step = [&] {
    s.forward();
    s.backward();
    return read_values<float>(s.store.grads());
  };
  const auto first = step();
  step();
  const int64_t allocations = s.ctx.arena().system_allocations();
  EXPECT_EQ(first, step());
  EXPECT_EQ(s.ctx.arena().system_allocations(), allocations);
}

TEST(RankingModel, FlopsOfTheBenchmarkStepByHand) {
  RankingModelConfig c;
  c.name = "lime_xor";
  c.history_features = 96, c.candidate_features = 64, c.user_features = 64;
  c.width = 128, c.heads = 4, c.links = 32, c.blocks = 3, c.head_hidden = 128;
  ParameterStore store;
  const RankingModel model(c, store);
  const double b = 32, t = b * 1024, n = b * 16, l = 32, bl = b * l, d = 128;
  const double tokens = t * 96 * d, tower = n * (64 * d + d * d);
  const double context = l * d * d + b * 64 * d + bl * d * d;
  const double attention = 4 * t * l * d;  // both directions, two products each
  const double blocks =
      2 * ((t + bl) * (4 * d * d + d * d) + attention) + t * 2 * d * d + bl * 3 * d * d + attention / 2;
  const double decoupled = n * d * d + l * d * d + n * l * d + bl * d * d + n * l * d + n * d * d;
  const double head = n * 2 * d * 128 + b * 64 * 128 + n * 128;
  EXPECT_NEAR(model.training_flops(32, 32 * 1024, 32 * 16),
              3 * 2 * (tokens + tower + context + blocks + decoupled + head), 1.0);
}

// What begins at zero beside a residual path, and at full size where only so the history is seen
// (docs/model.md).
TEST(RankingModel, FirstValuesLeaveResidualPathsAudible) {
  const auto deviation = [](const std::string& model, const std::string& parameter) {
    RankingModelConfig c = small(model);
    c.width = 64, c.heads = 2;
    Context ctx;
    ParameterStore store;
    const RankingModel made(c, store);
    store.allocate(ctx, 7);
    for (const auto& p : store.all())
      if (p.name == parameter + ".weight")
        return std::sqrt(dot(p.master, p.master) / static_cast<double>(p.rows * p.cols));
    ADD_FAILURE() << model << " has no " << parameter;
    return 0.0;
  };
  EXPECT_EQ(deviation("hstu", "interaction.block0.out"), 0.0);
  EXPECT_EQ(deviation("hstu", "interaction.block1.out"), 0.0);
  EXPECT_EQ(deviation("lime_xor", "interaction.block0.out"), 0.0);
  EXPECT_NEAR(deviation("lime_xor", "interaction.block1.out"), 1.0 / 8, 0.01);
  for (const std::string lime : {"lime_xor", "lime_mha"}) {
    EXPECT_EQ(deviation(lime, "interaction.context.out"), 0.0);
    EXPECT_NEAR(deviation(lime, "interaction.decoupled.lk"), 1.0, 0.05);
  }
  EXPECT_NEAR(deviation("lime_mha", "interaction.mha.out"), 1.0 / 8, 0.01);
}

TEST(RankingModel, RefusesSizesThatDoNotFit) {
  const auto refuses = [](auto change) {
    RankingModelConfig c = small("lime_xor");
    change(c);
    ParameterStore store;
    EXPECT_THROW(RankingModel(c, store), UserError);
  };
  refuses([](auto& c) { c.name = "hstu2"; });
  refuses([](auto& c) { c.width = 7; });
  refuses([](auto& c) { c.links = 0; });
  refuses([](auto& c) { c.history_features = 0; });
}

TEST(DecoupledAttention, WeightsOfACandidateDependOnNothingElse) {
  Context ctx;
  ParameterStore store;
  DecoupledAttention layer(store, "decoupled", 6, 2, 5, CandidateAttention::softmax);
  store.allocate(ctx, 3);
  Tensor t = random_tensor(ctx, 9, 6, 1), l = random_tensor(ctx, 5, 6, 2);
  Tensor together(Device{}, DType::f32, 9, 10), alone(Device{}, DType::f32, 1, 10);
  layer.weights(ctx, t.view(), l.view(), together);
  for (int64_t c = 0; c < 9; ++c) {
    layer.weights(ctx, t.view().slice_rows(c, c + 1), l.view(), alone);
    double sum = 0;
    for (int64_t j = 0; j < 10; ++j) {
      EXPECT_NEAR(value_at(together.view(), c, j), value_at(alone.view(), 0, j), 1e-6);
      sum += value_at(alone.view(), 0, j);
    }
    EXPECT_NEAR(sum, 2.0, 1e-6);  // each head's weights sum to one
  }
}

}  // namespace
}  // namespace lime
