// Parameters, loss and optimizer.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "layers/adamw.h"
#include "layers/gradient_clip.h"
#include "layers/loss.h"
#include "tests/layers/gradient_check.h"

namespace lime {
namespace {

class Training : public DeviceTest, public testing::WithParamInterface<Device> {
 protected:
  Training() : DeviceTest(GetParam(), DType::f64) {}
  Tensor row(const std::vector<double>& values, DType dtype = DType::f64) const {
    Tensor t(ctx.device(), dtype, 1, static_cast<int64_t>(values.size()));
    set_values(t, values);
    return t;
  }
};
INSTANTIATE_TEST_SUITE_P(Devices, Training, testing::ValuesIn(test_devices()), device_name);

TEST(ParameterStore, FlatInRegistrationOrderAndInitialisedByName) {
  Context ctx;
  ParameterStore a, b;
  a.add("first", 3, 4, Init::fan_in, Role::weight);
  Parameter& second = a.add("second", 200, 300, Init::fan_in, Role::weight);
  Parameter& gain = a.add("gain", 1, 5, Init::ones, Role::vector);
  a.allocate(ctx, 9);
  Parameter& alone = b.add("second", 200, 300, Init::fan_in, Role::weight);
  b.allocate(ctx, 9);
  EXPECT_EQ(a.count(), 12 + 60000 + 5);
  EXPECT_EQ(a.size() % ParameterStore::alignment, 0);
  EXPECT_EQ(second.offset, ParameterStore::alignment);
  EXPECT_EQ(second.index, 1);
  EXPECT_EQ(second.value.data<float>(), a.values().data<float>() + second.offset);
  EXPECT_EQ(second.grad.data<float>(), a.grads().data<float>() + second.offset);
  EXPECT_EQ(value_at(gain.value, 0, 4), 1.0);
  const std::vector<double> values = values_of(second.value);
  EXPECT_EQ(values, values_of(alone.value));  // a parameter more changes no other
  double squares = 0;
  for (const double value : values) squares += value * value;
  EXPECT_NEAR(squares / 60000, 1.0 / 200,
              3 * std::sqrt(2.0 / 60000) / 200);                         // variance 1 / rows, three sigma
  EXPECT_THROW(b.add("third", 1, 1, Init::zeros, Role::vector), Error);  // after allocate()
  ParameterStore c;
  c.add("same", 1, 1, Init::zeros, Role::vector);
  EXPECT_THROW(c.add("same", 1, 1, Init::zeros, Role::vector), Error);
  EXPECT_THROW(c.add("matrix", 2, 1, Init::zeros, Role::vector), Error);
}

TEST_P(Training, InitialValuesAreTheSameBitsOnEveryDevice) {
  Context here;
  for (const DType dtype : {DType::f32, DType::bf16}) {
    if (dtype == DType::bf16 && ctx.device() == Device{}) continue;
    Context there(ctx.device(), dtype);
    ParameterStore a, b;
    for (ParameterStore* store : {&a, &b}) {
      store->add("weight", 5, 7, Init::fan_in, Role::weight);
      store->add("links", 1, 7, Init::unit, Role::rows);
      store->add("gain", 1, 7, Init::ones, Role::vector);
    }
    a.allocate(here, 3), b.allocate(there, 3);
    there.synchronize();
    EXPECT_EQ(read_values<float>(a.values()), read_values<float>(b.values()));
  }
}

TEST(ParameterStore, WhatIsMultipliedWithRowsIsRoundedToTheirType) {
  for (const Device device : test_cuda_devices()) {
    if (!skip_reason(device).empty()) GTEST_SKIP() << skip_reason(device);
    Context ctx(device, DType::bf16);
    ParameterStore store;
    Parameter& weight = store.add("weight", 3, 5, Init::fan_in, Role::weight);
    Parameter& links = store.add("links", 1, 5, Init::unit, Role::rows);
    Parameter& gain = store.add("gain", 1, 5, Init::ones, Role::vector);
    store.allocate(ctx, 3);
    AdamW optimizer(ctx, store, {});
    DeviceTest::context = &ctx;
    for (int step = 1; step <= 2; ++step) {  // as drawn, and as updated
      for (const Parameter* p : {&weight, &links}) {
        EXPECT_EQ(p->value.dtype(), DType::bf16);
        const auto master = read_values<float>(p->master);
        const auto value = read_values<bf16>(p->value);
        for (size_t i = 0; i < master.size(); ++i) EXPECT_EQ(value[i], to_bf16(master[i])) << p->name;
      }
      EXPECT_EQ(gain.value.raw(), gain.master.raw());
      const auto before = read_values<float>(weight.master);
      fill(ctx, store.grads(), 1);
      optimizer.update(ctx, store, store.grads(), 0.1, device_scalar(ctx, 1).view(), step);
      EXPECT_NE(read_values<float>(weight.master), before);
    }
    DeviceTest::context = nullptr;
  }
}

TEST(Context, RefusesBf16OnTheCpu) { EXPECT_THROW(Context(Device{}, DType::bf16), UserError); }

TEST_P(Training, ExtremeLogitsAreExact) {
  for (const DType dtype : {DType::f32, DType::f64}) {
    Context typed(ctx.device(), dtype);
    const std::vector<double> x{0, 1e4, -1e4, 1e4, -1e4, 30, -30, 2}, y{1, 1, 1, 0, 0, 0.25, 1, 1},
        w{1, 1, 1, 1, 2, 1, 1, 0.5};
    const std::vector<double> loss{std::log(2.0), 0, 1e4, 1e4, 0, 22.5, 30, 0.5 * std::log1p(std::exp(-2.0))};
    const std::vector<double> slope{-0.5, 0, -1, 1, 0, 0.75, -1, -0.5 / (1 + std::exp(2.0))};
    const Tensor logits = row(x, dtype), labels = row(y, dtype), weights = row(w, dtype), d = row(x, dtype),
                 p = row(x, dtype), sums = row(x);
    bce_with_logits(typed, logits.view(), labels.view(), weights.view(), d, sums);  // a task a column
    sigmoid(typed, logits.view(), p);
    typed.synchronize();
    const auto loss_is = values_of(sums.view()), slope_is = values_of(d.view()), p_is = values_of(p.view());
    for (size_t i = 0; i < x.size(); ++i) {
      EXPECT_NEAR(loss_is[i], loss[i], 1e-9) << x[i];
      EXPECT_NEAR(slope_is[i], slope[i], 1e-7) << x[i];
      EXPECT_NEAR(p_is[i], 1 / (1 + std::exp(-x[i])), 1e-7) << x[i];
    }
  }
}

TEST_P(Training, WeightZeroLeavesOutAnyLogit) {
  const auto column = [&](const std::vector<double>& values) {
    Tensor t(ctx.device(), DType::f64, static_cast<int64_t>(values.size()), 1);
    set_values(t, values);
    return t;
  };
  const Tensor logits = column({std::numeric_limits<double>::quiet_NaN(), 0}), labels = column({0, 0}),
               weights = column({0, 3}), d = column({9, 9}), loss = row({9});
  bce_with_logits(ctx, logits.view(), labels.view(), weights.view(), d, loss);
  EXPECT_NEAR(value_at(loss.view(), 0, 0), 3 * std::log(2.0), 1e-12);
  EXPECT_EQ(values_of(d.view()), (std::vector<double>{0, 1.5}));
}

TEST_P(Training, LossOfManyRowsAndOfNone) {
  for (const int64_t rows : {0, 300}) {
    const Tensor logits = random_tensor(ctx, rows, 3, 1), labels = random_tensor(ctx, rows, 3, 2),
                 weights = random_tensor(ctx, rows, 3, 3), d = random_tensor(ctx, rows, 3, 4),
                 loss = row({9, 9, 9});
    bce_with_logits(ctx, logits.view(), labels.view(), weights.view(), d, loss);
    const auto x = values_of(logits.view()), y = values_of(labels.view()), w = values_of(weights.view()),
               sums = values_of(loss.view());
    for (size_t task = 0; task < 3; ++task) {
      double sum = 0;
      for (size_t i = task; i < x.size(); i += 3) sum += w[i] * (std::log1p(std::exp(x[i])) - x[i] * y[i]);
      EXPECT_NEAR(sums[task], sum, 1e-10);
    }
  }
}

TEST_P(Training, GradientOfTheLoss) {
  const Tensor logits = random_tensor(ctx, 5, 2, 1), labels = random_tensor(ctx, 5, 2, 2),
               weights = random_tensor(ctx, 5, 2, 3), d = random_tensor(ctx, 5, 2, 4),
               ignored = random_tensor(ctx, 5, 2, 5), loss = row({0, 0});
  bce_with_logits(ctx, logits.view(), labels.view(), weights.view(), d, loss);
  GradientCheck check;
  check.add("logits", logits, d);
  check.check([&] {
    bce_with_logits(ctx, logits.view(), labels.view(), weights.view(), ignored, loss);
    const auto sums = values_of(loss.view());
    return sums[0] + sums[1];
  });
}

TEST_P(Training, TwoStepsOfAdamWByHand) {
  ParameterStore store;
  const Parameter& decays = store.add("weight", 1, 1, Init::ones, Role::weight);
  const Parameter& stays = store.add("bias", 1, 1, Init::ones, Role::vector);
  store.allocate(ctx, 1);
  AdamW optimizer(ctx, store, {.beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8, .weight_decay = 0.1});
  Tensor grad(ctx.device(), DType::f64, 1, store.size());
  set_value(grad, 0, decays.offset, 4), set_value(grad, 0, stays.offset, 4);  // times scale 0.5: g = 2
  optimizer.update(ctx, store, grad.view(), 0.01, device_scalar(ctx, 0.5).view(), 1);
  // m = 0.2, v = 0.04; m^ = 2, v^ = 4: a step of 0.01 * 2 / 2
  EXPECT_NEAR(value_at(stays.value, 0, 0), 1 - 0.01, 1e-9);
  EXPECT_NEAR(value_at(decays.value, 0, 0), 1 - 0.01 - 0.01 * 0.1, 1e-9);
  EXPECT_NEAR(value_at(optimizer.first_moment(), 0, 0), 0.2, 1e-12);
  EXPECT_NEAR(value_at(optimizer.second_moment(), 0, 0), 0.04, 1e-12);
  set_value(grad, 0, stays.offset, -2);  // g = -1
  optimizer.update(ctx, store, grad.view(), 0.02, device_scalar(ctx, 0.5).view(), 2);
  // m = 0.18 - 0.1 = 0.08, v = 0.0396 + 0.01 = 0.0496; m^ = 0.08 / 0.19, v^ = 0.0496 / 0.0199
  EXPECT_NEAR(value_at(stays.value, 0, 0),
              1 - 0.01 * 2 / (2 + 1e-8) - 0.02 * (0.08 / 0.19) / (std::sqrt(0.0496 / 0.0199) + 1e-8), 1e-12);
  for (const double bad : {double{NAN}, double{INFINITY}}) {
    const View all[] = {store.values(), optimizer.first_moment(), optimizer.second_moment()};
    std::vector<std::vector<double>> before, after;
    for (const View& v : all) before.push_back(values_of(v));
    optimizer.update(ctx, store, grad.view(), 0.02, device_scalar(ctx, bad).view(), 3);
    for (const View& v : all) after.push_back(values_of(v));
    EXPECT_EQ(before, after) << bad;
  }
}

TEST_P(Training, GradientsAreClippedByTheirNormUntilItIsNotFinite) {
  const Tensor scale = device_scalar(ctx, 1);
  const auto clip = [&](double squares, double most) {
    clip_scale(ctx, device_scalar(ctx, squares).view(), most, scale);
    return value_at(scale, 0, 0);
  };
  EXPECT_EQ(clip(9, 0), 1);  // no clipping
  EXPECT_EQ(clip(9, 4), 1);
  EXPECT_EQ(clip(9, 3), 1);
  EXPECT_EQ(clip(9, 1.5), 0.5);
  EXPECT_EQ(clip(0, 1), 1);
  for (const double bad : {double{NAN}, double{INFINITY}}) {
    for (const double most : {0.0, 1.0}) {
      fill(ctx, scale, 1);
      EXPECT_TRUE(std::isnan(clip(bad, most))) << bad << " " << most;
      EXPECT_TRUE(std::isnan(clip(1, most))) << "what follows " << bad;
    }
  }
}

// A long flat buffer with parameters of both kinds: every element is updated, and as on the CPU.
TEST_P(Training, AdamWOnADeviceAgreesWithTheCpu) {
  Context here(Device{}, DType::f64);
  ParameterStore a, b;
  for (ParameterStore* store : {&a, &b}) {
    store->add("weight", 37, 19, Init::fan_in, Role::weight);
    store->add("bias", 1, 100, Init::ones, Role::vector);
    store->add("links", 70, 3, Init::unit, Role::rows);
  }
  a.allocate(here, 5), b.allocate(ctx, 5);
  AdamW on_cpu(here, a, {.weight_decay = 0.3}), on_device(ctx, b, {.weight_decay = 0.3});
  Tensor grad(Device{}, DType::f64, 1, a.size()), copied(ctx.device(), DType::f64, 1, a.size());
  for (int64_t step = 1; step <= 3; ++step) {
    for (const Parameter& p : a.all())  // 0 between parameters, as in training
      fill_random(grad.view().slice_cols(p.offset, p.offset + p.rows * p.cols),
                  static_cast<uint64_t>(step + p.index));
    set_values(copied, values_of(grad.view()));
    on_cpu.update(here, a, grad.view(), 0.1, device_scalar(here, 0.7).view(), step);
    on_device.update(ctx, b, copied.view(), 0.1, device_scalar(ctx, 0.7).view(), step);
  }
  const auto want = values_of(a.values()), got = values_of(b.values());
  for (size_t i = 0; i < want.size(); ++i) EXPECT_NEAR(got[i], want[i], 1e-14) << i;
}

}  // namespace
}  // namespace lime
