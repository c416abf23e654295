// Layers on every device, each against finite differences.
#include <gtest/gtest.h>

#include <cmath>
#include <memory>

#include "layers/decoupled_attention.h"
#include "layers/layer_norm.h"
#include "layers/linear.h"
#include "layers/link_context.h"
#include "layers/link_mha.h"
#include "layers/mlp.h"
#include "layers/score_head.h"
#include "layers/token_encoder.h"
#include "layers/xor_block.h"
#include "tests/layers/gradient_check.h"

namespace lime {
namespace {

class Layers : public DeviceTest, public testing::WithParamInterface<Device> {
 protected:
  Layers() : DeviceTest(GetParam(), DType::f64) {}
  bool on_cpu() const { return ctx.device() == Device{}; }
  // Entries that a gradient check moves: emulated kernels are slow.
  int64_t samples(int64_t on_cpu_device) const { return on_cpu() ? on_cpu_device : 8; }
  // A CUDA device has one tile for all rows; then a few thousand times less is long.
  int64_t tile_rows(int64_t cols) const { return on_cpu() ? ctx.tile_rows(cols) : 40; }
};
INSTANTIATE_TEST_SUITE_P(Devices, Layers, testing::ValuesIn(test_devices()), device_name);

struct F64 {
  explicit F64(Context& context) : ctx(context) {}
  Context& ctx;
  ParameterStore store;
  // Random everywhere, so that no gradient is trivial: zero biases and unit gains would hide mistakes.
  void start() {
    store.allocate(ctx, 7);
    uint64_t seed = 100;
    for (auto& p : store.all()) fill_random(p.value, ++seed, p.init == Init::ones ? 0.5 : 0.4);
  }
  Tensor random(int64_t rows, int64_t cols, uint64_t seed) { return random_tensor(ctx, rows, cols, seed); }
  Tensor empty(int64_t rows, int64_t cols) { return Tensor(ctx.device(), DType::f64, rows, cols); }
  // For what must be overwritten.
  Tensor dirty(int64_t rows, int64_t cols) { return random(rows, cols, 999); }
};

TEST_P(Layers, LinearGradientsWithAndWithoutBias) {
  for (const bool bias : {true, false}) {
    F64 t(ctx);
    Linear layer(t.store, "linear", 5, 3, bias);
    t.start();
    Tensor x = t.random(7, 5, 1), y = t.empty(7, 3), r = t.random(7, 3, 2), dx = t.dirty(7, 5);
    layer.backward(t.ctx, x, r.view(), GradMode::overwrite, dx);
    GradientCheck check(samples(40));
    check.add(t.store);
    check.add("x", x, dx);
    check.check([&] { return layer.forward(t.ctx, x, y), dot(y.view(), r.view()); });
  }
}

TEST_P(Layers, LinearInputGradientAccumulatesAndEmptyInputsAreLegal) {
  F64 t(ctx);
  Linear layer(t.store, "linear", 4, 3);
  t.start();
  Tensor x = t.random(2, 4, 1), r = t.random(2, 3, 2), once = t.empty(2, 4), twice = t.empty(2, 4);
  layer.backward(t.ctx, x, r.view(), GradMode::overwrite, once);
  layer.backward(t.ctx, x, r.view(), GradMode::overwrite, twice);
  layer.backward(t.ctx, x, r.view(), GradMode::accumulate, twice);
  EXPECT_NEAR(2 * value_at(once.view(), 1, 2), value_at(twice.view(), 1, 2), 1e-14);

  Tensor none = t.empty(0, 4), y = t.empty(0, 3), dnone = t.empty(0, 4);
  layer.forward(t.ctx, none, y);
  layer.backward(t.ctx, none, y.view(), GradMode::overwrite, dnone);
  Tensor narrow = t.empty(2, 0), sum = t.random(2, 3, 3);  // a part without columns adds nothing
  layer.rows(4, 4).multiply(t.ctx, narrow.view(), GradMode::overwrite, sum);
  EXPECT_EQ(value_at(sum.view(), 1, 1), 0.0);
}

TEST_P(Layers, LayerNormGradients) {
  F64 t(ctx);
  LayerNorm layer(t.store, "norm", 7);
  t.start();
  Tensor x = t.random(5, 7, 1), y = t.empty(5, 7), r = t.random(5, 7, 2), dx = t.dirty(5, 7);
  const auto stats = LayerNormStats::alloc(t.ctx, 5);
  layer.forward(t.ctx, x, y, stats);
  layer.backward(t.ctx, x, stats, r.view(), GradMode::overwrite, dx);
  GradientCheck check(samples(40));
  check.add(t.store);
  check.add("x", x, dx);
  check.check([&] { return layer.forward(t.ctx, x, y, stats), dot(y.view(), r.view()); });
}

TEST_P(Layers, MlpGradients) {
  F64 t(ctx);
  Mlp layer(t.store, "mlp", 5, 7, 3);
  t.start();
  Tensor x = t.random(6, 5, 1), y = t.empty(6, 3), r = t.random(6, 3, 2), dx = t.dirty(6, 5);
  const auto forward = [&] {
    return t.ctx.arena().reset(), layer.forward(t.ctx, x, y), dot(y.view(), r.view());
  };
  forward();
  layer.backward(t.ctx, r.view(), GradMode::overwrite, dx);
  GradientCheck check(samples(40));
  check.add(t.store);
  check.add("x", x, dx);
  check.check(forward);
}

TEST_P(Layers, TokenEncoderPositionsCountFromTheMostRecentEventAndAreClamped) {
  F64 t(ctx);
  TokenEncoder layer(t.store, "token", 1, 1, 3);
  t.start();
  fill_random(t.store.all()[0].value, 1, 0.0);  // weight and bias zero: tokens are the positions alone
  fill_random(t.store.all()[1].value, 1, 0.0);
  set_values(t.store.all()[2].value, {0, 1, 2});
  const DeviceJagged history(ctx, offsets_of({0, 5, 1, 2}));
  Tensor x = t.random(8, 1, 1), tokens = t.empty(8, 1);
  layer.forward(t.ctx, x, history, {}, tokens);
  const std::vector<double> expected{2, 2, 2, 1, 0, 0, 1, 0};
  for (int64_t i = 0; i < 8; ++i)
    EXPECT_EQ(value_at(tokens.view(), i, 0), expected[static_cast<size_t>(i)]) << i;
}

TEST_P(Layers, TokenEncoderGradientsOverTilesAndEmptyHistories) {
  for (const int64_t positions : {int64_t{0}, int64_t{4}}) {
    F64 t(ctx);
    TokenEncoder layer(t.store, "token", 3, 5, positions);
    t.start();
    const auto offsets = offsets_of({0, 1, 2 * tile_rows(8) + 3, 0, 6});
    const DeviceJagged history(ctx, offsets);
    const int64_t rows = offsets.back();
    Tensor x = t.random(rows, 3, 1), y = t.empty(rows, 5), r = t.random(rows, 5, 2), dx = t.dirty(rows, 3);
    const auto forward = [&] {
      return t.ctx.arena().reset(), layer.forward(t.ctx, x, history, {}, y), dot(y.view(), r.view());
    };
    forward();
    layer.backward(t.ctx, r.view(), dx);
    GradientCheck check(samples(20), 3e-6);
    check.add(t.store);
    check.add("x", x, dx);
    check.check(forward);
  }
}

TEST_P(Layers, LinkContextGradients) {
  for (const int64_t user_features : {0, 3}) {
    F64 t(ctx);
    LinkContext layer(t.store, "context", 3, 5, user_features);
    t.start();
    Tensor l = t.random(3, 5, 1), u = t.random(4, user_features, 2), y = t.empty(12, 5),
           r = t.random(12, 5, 3);
    Tensor dl = t.empty(3, 5), du = t.empty(4, user_features);
    const auto forward = [&] {
      return t.ctx.arena().reset(), layer.forward(t.ctx, l, u, y), dot(y.view(), r.view());
    };
    forward();
    layer.backward(t.ctx, r.view(), dl, du);
    GradientCheck check(samples(40));
    check.add(t.store);
    check.add("links", l, dl);
    check.add("user", u, du);
    check.check(forward);
  }
}

TEST_P(Layers, DecoupledAttentionGradients) {
  for (const auto phi : {CandidateAttention::softmax, CandidateAttention::silu}) {
    F64 t(ctx);
    DecoupledAttention layer(t.store, "decoupled", 6, 2, 5, phi);
    t.start();
    const DeviceJagged impressions(t.ctx, offsets_of({3, 0, 1, 4}));
    Tensor c = t.random(8, 6, 1), l = t.random(5, 6, 2), lp = t.random(20, 6, 3), z = t.empty(8, 6),
           r = t.random(8, 6, 4);
    Tensor dc = t.empty(8, 6), dl = t.empty(5, 6), dlp = t.dirty(20, 6);
    const auto forward = [&] {
      return t.ctx.arena().reset(), layer.forward(t.ctx, c, l, lp, impressions, z), dot(z.view(), r.view());
    };
    forward();
    layer.backward(t.ctx, r.view(), dc, dl, dlp);
    GradientCheck check(samples(40));
    check.add(t.store);
    check.add("candidates", c, dc);
    check.add("links", l, dl);
    check.add("personalised links", lp, dlp);
    check.check(forward);
  }
}

TEST_P(Layers, ScoreHeadGradients) {
  F64 t(ctx);
  ScoreHead layer(t.store, "head", 3, 2, 5, 2);
  t.start();
  const DeviceJagged impressions(t.ctx, offsets_of({2, 0, 1, 3}));
  Tensor z = t.random(6, 3, 1), c = t.random(6, 3, 2), u = t.random(4, 2, 3), y = t.empty(6, 2),
         r = t.random(6, 2, 4);
  Tensor dz = t.dirty(6, 3), dc = t.dirty(6, 3), du = t.dirty(4, 2);
  const auto forward = [&] {
    return t.ctx.arena().reset(), layer.forward(t.ctx, z, c, u, impressions, y), dot(y.view(), r.view());
  };
  forward();
  layer.backward(t.ctx, r.view(), dz, dc, du);
  GradientCheck check(samples(40));
  check.add(t.store);
  check.add("z", z, dz);
  check.add("candidates", c, dc);
  check.add("user", u, du);
  check.check(forward);
}

// A step of a personaliser over short, empty, one-event and long histories.
struct PersonaliserStep {
  template <typename Make>
  PersonaliserStep(Context& ctx, const Make& make, int64_t longest)
      : t(ctx),
        layer(make(t.store)),
        offsets(offsets_of({3, 0, 1, longest, 40})),
        history(ctx, offsets),
        lc(t.random(5 * links, width, 1)),
        e(t.random(offsets.back(), width, 2)),
        lp(t.empty(lc.rows(), width)),
        r(t.random(lc.rows(), width, 3)),
        dlinks(t.random(lc.rows(), width, 3)),
        de(t.dirty(e.rows(), width)) {
    t.start();
  }
  double forward() {
    return t.ctx.arena().reset(), layer->forward(t.ctx, lc, e, history, {}, lp), dot(lp.view(), r.view());
  }
  void backward() { layer->backward(t.ctx, dlinks, de); }

  static constexpr int64_t links = 3, width = 6, heads = 2;
  F64 t;
  std::unique_ptr<Personaliser> layer;
  std::vector<int64_t> offsets;
  DeviceJagged history;
  Tensor lc, e, lp, r, dlinks, de;
};

class Personalisers : public Layers {
 protected:
  // Against finite differences on the CPU, over three tiles; elsewhere every entry against the CPU's.
  template <typename Make>
  void check(const Make& make, int64_t tile_columns) {
    const int64_t longest = 2 * tile_rows(tile_columns * PersonaliserStep::width) + 5;
    PersonaliserStep s(ctx, make, longest);
    s.forward(), s.backward();
    if (on_cpu()) {
      GradientCheck gradients(16, 2e-6);
      gradients.add(s.t.store);
      gradients.add("contextualised links", s.lc, s.dlinks);
      gradients.add("tokens", s.e, s.de);
      gradients.check([&] { return s.forward(); });
      return;
    }
    Context host(Device{}, DType::f64);
    PersonaliserStep on_host(host, make, longest);
    on_host.forward(), on_host.backward();
    const auto expect_same = [](const ConstView& got, const ConstView& want, const std::string& what) {
      const auto x = values_of(got), y = values_of(want);
      for (size_t i = 0; i < x.size(); ++i)
        ASSERT_NEAR(x[i], y[i], 1e-11 * std::max(1.0, std::abs(y[i]))) << what << "[" << i << "]";
    };
    expect_same(s.lp.view(), on_host.lp.view(), "personalised links");
    expect_same(s.dlinks.view(), on_host.dlinks.view(), "contextualised links");
    expect_same(s.de.view(), on_host.de.view(), "tokens");
    expect_same(s.t.store.grads(), on_host.t.store.grads(), "parameters");
  }
};
INSTANTIATE_TEST_SUITE_P(Devices, Personalisers, testing::ValuesIn(test_devices()), device_name);

TEST_P(Personalisers, XorStackGradientsOverTilesAndEmptyHistories) {
  using S = PersonaliserStep;
  for (const int64_t blocks : {1, 3})
    check(
        [&](ParameterStore& store) {
          return std::make_unique<XorStack>(store, "xor", S::width, S::heads, S::links, blocks);
        },
        12);
}

TEST_P(Personalisers, LinkMhaGradientsOverTilesAndEmptyHistories) {
  using S = PersonaliserStep;
  check(
      [&](ParameterStore& store) {
        return std::make_unique<LinkMha>(store, "mha", S::width, S::heads, S::links);
      },
      6);
}

}  // namespace
}  // namespace lime
