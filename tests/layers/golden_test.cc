// The same function as the same networks written in PyTorch: logits, loss and gradients, given the same
// weights.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "layers/loss.h"
#include "layers/ranking_model.h"
#include "runtime/primitives.h"
#include "tests/layers/gradient_check.h"

namespace lime {
namespace {

using Json = nlohmann::json;

Json read_golden() {
  std::ifstream file(LIME_GOLDEN_DIR "/peer_function.json");
  return Json::parse(file);
}

void load(View x, const Json& values) {
  ASSERT_EQ(static_cast<size_t>(x.size()), values.size());
  for (int64_t i = 0; i < x.size(); ++i) {
    const double value = values[static_cast<size_t>(i)];
    if (x.dtype() == DType::f32)
      x.data<float>()[i] = static_cast<float>(value);
    else
      x.data<double>()[i] = value;
  }
}

void expect_near(const ConstView& x, const Json& values, double tolerance, const std::string& what) {
  ASSERT_EQ(static_cast<size_t>(x.size()), values.size()) << what;
  double largest = 0;
  for (const double v : values) largest = std::max(largest, std::abs(v));
  for (int64_t i = 0; i < x.size(); ++i)
    ASSERT_NEAR(value_at(x, i / x.cols(), i % x.cols()), values[static_cast<size_t>(i)].get<double>(),
                tolerance * std::max(1e-3, largest))
        << what << "[" << i << "]";
}

class Golden : public testing::TestWithParam<std::tuple<std::string, DType>> {};

TEST_P(Golden, EqualsThePeer) {
  const auto& [name, dtype] = GetParam();
  const Json golden = read_golden();
  const Json& peer = golden["models"][name];
  RankingModelConfig c;
  c.name = name;
  c.width = golden["width"], c.heads = golden["heads"], c.links = golden["links"],
  c.blocks = golden["blocks"];
  c.head_hidden = golden["head_hidden"], c.history_features = golden["history_features"];
  c.candidate_features = golden["candidate_features"], c.user_features = golden["user_features"];
  c.max_positions = 0;
  Context ctx({}, dtype);
  ParameterStore store;
  RankingModel model(c, store);
  store.allocate(ctx, 1);
  ASSERT_EQ(store.all().size(), peer["parameters"].size());
  for (auto& p : store.all()) load(p.value, peer["parameters"].at(p.name));

  const auto history = offsets_of(golden["history_lengths"]),
             candidates = offsets_of(golden["candidate_lengths"]);
  const auto requests = static_cast<int64_t>(history.size()) - 1;
  const auto tensor = [&](int64_t rows, int64_t cols) { return Tensor(Device{}, dtype, rows, cols); };
  Tensor h = tensor(history.back(), c.history_features), dh = tensor(h.rows(), h.cols());
  Tensor x = tensor(candidates.back(), c.candidate_features), dx = tensor(x.rows(), x.cols());
  Tensor u = tensor(requests, c.user_features), du = tensor(u.rows(), u.cols());
  load(h, golden["inputs"]["history"]);
  load(x, golden["inputs"]["candidates"]);
  load(u, golden["inputs"]["user"]);
  Tensor logits = tensor(x.rows(), 1), labels = tensor(x.rows(), 1), weights = tensor(x.rows(), 1),
         dlogits = tensor(x.rows(), 1);
  load(labels, golden["labels"]);
  fill(ctx, weights, 1);

  model.forward(ctx, {h.view(), x.view(), u.view(), Jagged(history), Jagged(candidates)}, logits);
  const double loss = bce_with_logits(ctx, logits.view(), labels.view(), weights.view(), dlogits)[0];
  model.backward(ctx, dlogits.view(), {dh, dx, du});

  // The file holds 9 digits; f32 carries 6e-8 through some thirty operations.
  const double tolerance = dtype == DType::f32 ? 2e-5 : 1e-7;
  expect_near(logits.view(), peer["logits"], tolerance, "logits");
  EXPECT_NEAR(loss, peer["loss"].get<double>(), tolerance * loss);
  for (auto& p : store.all()) expect_near(p.grad, peer["gradients"].at(p.name), tolerance, p.name);
  expect_near(dh.view(), peer["input_gradients"]["history"], tolerance, "history");
  expect_near(dx.view(), peer["input_gradients"]["candidates"], tolerance, "candidates");
  expect_near(du.view(), peer["input_gradients"]["user"], tolerance, "user");
}

INSTANTIATE_TEST_SUITE_P(Models, Golden,
                         testing::Combine(testing::Values("two_tower", "mha", "hstu", "lime_mha", "lime_xor"),
                                          testing::Values(DType::f32, DType::f64)),
                         [](const auto& p) {
                           return std::get<0>(p.param) +
                                  (std::get<1>(p.param) == DType::f32 ? "_f32" : "_f64");
                         });

}  // namespace
}  // namespace lime
