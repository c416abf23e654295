// The same function as the same networks written in PyTorch: logits, loss and gradients, given the same
// weights.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

#include "layers/loss.h"
#include "layers/ranking_model.h"
#include "runtime/primitives.h"
#include "tests/layers/gradient_check.h"

namespace lime {
namespace {

using Json = nlohmann::json;

// In the sources that the test was built from, or where the environment says that they are now.
Json read_golden() {
  const char* elsewhere = std::getenv("LIME_GOLDEN_DIR");
  std::ifstream file(str(elsewhere ? elsewhere : LIME_GOLDEN_DIR, "/peer_function.json"));
  return Json::parse(file);
}

void load(View x, const Json& values) {
  ASSERT_EQ(static_cast<size_t>(x.size()), values.size());
  set_values(x, values.get<std::vector<double>>());
}

void expect_near(const ConstView& x, const Json& values, double tolerance, const std::string& what) {
  ASSERT_EQ(static_cast<size_t>(x.size()), values.size()) << what;
  double largest = 0;
  for (const double v : values) largest = std::max(largest, std::abs(v));
  const std::vector<double> found = values_of(x);
  for (size_t i = 0; i < found.size(); ++i)
    ASSERT_NEAR(found[i], values[i].get<double>(), tolerance * std::max(1e-3, largest))
        << what << "[" << i << "]";
}

struct Case {
  std::string name;
  DType dtype;
  Device device;
};

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const std::string name : {"two_tower", "mha", "hstu", "lime_mha", "lime_xor"})
    for (const Device device : test_devices())
      for (const DType dtype : {DType::f32, DType::f64}) all.push_back({name, dtype, device});
  return all;
}

class Golden : public DeviceTest, public testing::WithParamInterface<Case> {
 protected:
  Golden() : DeviceTest(GetParam().device, GetParam().dtype) {}
};

TEST_P(Golden, EqualsThePeer) {
  const auto& [name, dtype, device] = GetParam();
  const Json golden = read_golden();
  const Json& peer = golden["models"][name];
  RankingModelConfig c;
  c.name = name;
  c.width = golden["width"], c.heads = golden["heads"], c.links = golden["links"],
  c.blocks = golden["blocks"];
  c.head_hidden = golden["head_hidden"], c.history_features = golden["history_features"];
  c.candidate_features = golden["candidate_features"], c.user_features = golden["user_features"];
  c.max_positions = 0;
  ParameterStore store;
  RankingModel model(c, store);
  store.allocate(ctx, 1);
  ASSERT_EQ(store.all().size(), peer["parameters"].size());
  for (auto& p : store.all()) load(p.value, peer["parameters"].at(p.name));

  const auto history = offsets_of(golden["history_lengths"]),
             candidates = offsets_of(golden["candidate_lengths"]);
  const auto requests = static_cast<int64_t>(history.size()) - 1;
  const auto tensor = [&](int64_t rows, int64_t cols) {
    return Tensor(ctx.device(), ctx.dtype(), rows, cols);
  };
  Tensor h = tensor(history.back(), c.history_features), dh = tensor(h.rows(), h.cols());
  Tensor x = tensor(candidates.back(), c.candidate_features), dx = tensor(x.rows(), x.cols());
  Tensor u = tensor(requests, c.user_features), du = tensor(u.rows(), u.cols());
  load(h, golden["inputs"]["history"]);
  load(x, golden["inputs"]["candidates"]);
  load(u, golden["inputs"]["user"]);
  Tensor logits = tensor(x.rows(), 1), labels = tensor(x.rows(), 1), weights = tensor(x.rows(), 1),
         dlogits = tensor(x.rows(), 1), loss(device, DType::f64, 1, 1);
  load(labels, golden["labels"]);
  fill(ctx, weights, 1);

  const DeviceJagged histories(ctx, history), impressions(ctx, candidates);
  model.forward(ctx, {h.view(), x.view(), u.view(), histories, impressions}, logits);
  bce_with_logits(ctx, logits.view(), labels.view(), weights.view(), dlogits, loss);
  model.backward(ctx, dlogits.view(), {dh, dx, du});

  // The file holds 9 digits; f32 carries 6e-8 through some thirty operations.
  const double tolerance = dtype == DType::f32 ? 2e-5 : 1e-7;
  expect_near(logits.view(), peer["logits"], tolerance, "logits");
  const double sum = peer["loss"];
  EXPECT_NEAR(value_at(loss.view(), 0, 0), sum, tolerance * sum);
  for (auto& p : store.all()) expect_near(p.grad, peer["gradients"].at(p.name), tolerance, p.name);
  expect_near(dh.view(), peer["input_gradients"]["history"], tolerance, "history");
  expect_near(dx.view(), peer["input_gradients"]["candidates"], tolerance, "candidates");
  expect_near(du.view(), peer["input_gradients"]["user"], tolerance, "user");
}

std::string name_of(const testing::TestParamInfo<Case>& info) {
  const Case& tested = info.param;
  return str(tested.name, "_", to_string(tested.dtype), tested.device == Device{} ? "" : "_cuda");
}
INSTANTIATE_TEST_SUITE_P(Models, Golden, testing::ValuesIn(cases()), name_of);

}  // namespace
}  // namespace lime
