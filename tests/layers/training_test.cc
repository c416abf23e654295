// Parameters, loss and optimizer.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "layers/adamw.h"
#include "layers/loss.h"
#include "tests/layers/gradient_check.h"

namespace lime {
namespace {

TEST(ParameterStore, FlatInRegistrationOrderAndInitialisedByName) {
  Context ctx;
  ParameterStore a, b;
  a.add("first", 3, 4, Init::fan_in, true);
  Parameter& second = a.add("second", 200, 300, Init::fan_in, true);
  Parameter& gain = a.add("gain", 1, 5, Init::ones, false);
  a.allocate(ctx, 9);
  Parameter& alone = b.add("second", 200, 300, Init::fan_in, true);
  b.allocate(ctx, 9);
  EXPECT_EQ(a.size(), 12 + 60000 + 5);
  EXPECT_EQ(second.offset, 12);
  EXPECT_EQ(second.index, 1);
  EXPECT_EQ(second.value.data<float>(), a.values().data<float>() + 12);
  EXPECT_EQ(second.grad.data<float>(), a.grads().data<float>() + 12);
  EXPECT_EQ(gain.value.data<float>()[4], 1.0f);
  double squares = 0;
  for (int64_t i = 0; i < 60000; ++i) {
    EXPECT_EQ(second.value.data<float>()[i],
              alone.value.data<float>()[i]);  // a parameter more changes no other
    squares += static_cast<double>(second.value.data<float>()[i]) *
               static_cast<double>(second.value.data<float>()[i]);
  }
  EXPECT_NEAR(squares / 60000, 1.0 / 200,
              3 * std::sqrt(2.0 / 60000) / 200);                  // variance 1 / rows, three sigma
  EXPECT_THROW(b.add("third", 1, 1, Init::zeros, false), Error);  // after allocate()
  ParameterStore c;
  c.add("same", 1, 1, Init::zeros, false);
  EXPECT_THROW(c.add("same", 1, 1, Init::zeros, false), Error);
}

TEST(Loss, ExtremeLogitsAreExact) {
  for (const DType dtype : {DType::f32, DType::f64}) {
    Context ctx({}, dtype);
    const std::vector<double> x{0, 1e4, -1e4, 1e4, -1e4, 30, -30, 2}, y{1, 1, 1, 0, 0, 0.25, 1, 1},
        w{1, 1, 1, 1, 2, 1, 1, 0.5};
    const std::vector<double> loss{std::log(2.0), 0, 1e4, 1e4, 0, 22.5, 30, 0.5 * std::log1p(std::exp(-2.0))};
    const std::vector<double> slope{-0.5, 0, -1, 1, 0, 0.75, -1, -0.5 / (1 + std::exp(2.0))};
    const auto n = static_cast<int64_t>(x.size());
    Tensor logits({}, dtype, 1, n), labels({}, dtype, 1, n), weights({}, dtype, 1, n), d({}, dtype, 1, n),
        p({}, dtype, 1, n);
    const auto set = [&](const Tensor& t, int64_t i, double value) {
      if (dtype == DType::f32)
        t.view().data<float>()[i] = static_cast<float>(value);
      else
        t.view().data<double>()[i] = value;
    };
    for (int64_t i = 0; i < n; ++i) {
      const auto at = static_cast<size_t>(i);
      set(logits, i, x[at]), set(labels, i, y[at]), set(weights, i, w[at]);
    }
    const auto sums =
        bce_with_logits(ctx, logits.view(), labels.view(), weights.view(), d);  // a task a column
    sigmoid(ctx, logits.view(), p);
    for (int64_t i = 0; i < n; ++i) {
      const auto at = static_cast<size_t>(i);
      EXPECT_NEAR(sums[at], loss[at], 1e-9) << x[at];
      EXPECT_NEAR(value_at(d.view(), 0, i), slope[at], 1e-7) << x[at];
      EXPECT_NEAR(value_at(p.view(), 0, i), 1 / (1 + std::exp(-x[at])), 1e-7) << x[at];
    }
  }
}

TEST(Loss, WeightZeroLeavesOutAnyLogit) {
  Context ctx;
  Tensor logits({}, DType::f32, 2, 1), labels({}, DType::f32, 2, 1), weights({}, DType::f32, 2, 1),
      d({}, DType::f32, 2, 1);
  logits.view().data<float>()[0] = std::numeric_limits<float>::quiet_NaN();
  weights.view().data<float>()[1] = 3;
  EXPECT_NEAR(bce_with_logits(ctx, logits.view(), labels.view(), weights.view(), d)[0], 3 * std::log(2.0),
              1e-12);
  EXPECT_EQ(d.view().data<float>()[0], 0.0f);
  EXPECT_EQ(d.view().data<float>()[1], 1.5f);
}

TEST(Loss, GradientOfTheSum) {
  Context ctx({}, DType::f64);
  Tensor logits = random_tensor(ctx, 5, 2, 1), labels = random_tensor(ctx, 5, 2, 2),
         weights = random_tensor(ctx, 5, 2, 3);
  Tensor d({}, DType::f64, 5, 2), ignored({}, DType::f64, 5, 2);
  bce_with_logits(ctx, logits.view(), labels.view(), weights.view(), d);
  GradientCheck check;
  check.add("logits", logits, d);
  check.check([&] {
    const auto sums = bce_with_logits(ctx, logits.view(), labels.view(), weights.view(), ignored);
    return sums[0] + sums[1];
  });
}

TEST(AdamW, TwoStepsByHand) {
  Context ctx({}, DType::f64);
  ParameterStore store;
  Parameter& decays = store.add("weight", 1, 1, Init::ones, true);
  Parameter& stays = store.add("bias", 1, 1, Init::ones, false);
  store.allocate(ctx, 1);
  AdamW optimizer(ctx, store, {.beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8, .weight_decay = 0.1});
  Tensor grad({}, DType::f64, 1, 2);
  grad.view().data<double>()[0] = grad.view().data<double>()[1] = 4.0;  // times scale 0.5: g = 2
  optimizer.update(ctx, store, grad.view(), 0.01, 0.5, 1);
  // m = 0.2, v = 0.04; m^ = 2, v^ = 4: a step of 0.01 * 2 / 2
  EXPECT_NEAR(stays.value.data<double>()[0], 1 - 0.01, 1e-9);
  EXPECT_NEAR(decays.value.data<double>()[0], 1 - 0.01 - 0.01 * 0.1, 1e-9);
  EXPECT_NEAR(optimizer.first_moment().data<double>()[0], 0.2, 1e-12);
  EXPECT_NEAR(optimizer.second_moment().data<double>()[0], 0.04, 1e-12);
  grad.view().data<double>()[1] = -2.0;  // g = -1
  optimizer.update(ctx, store, grad.view(), 0.02, 0.5, 2);
  // m = 0.18 - 0.1 = 0.08, v = 0.0396 + 0.01 = 0.0496; m^ = 0.08 / 0.19, v^ = 0.0496 / 0.0199
  EXPECT_NEAR(stays.value.data<double>()[0],
              1 - 0.01 * 2 / (2 + 1e-8) - 0.02 * (0.08 / 0.19) / (std::sqrt(0.0496 / 0.0199) + 1e-8), 1e-12);
}

}  // namespace
}  // namespace lime
