// A training step of the dense network on a CUDA device - forward, loss, backward, clipping, AdamW - asks the
// device for no memory and does not wait for it, once the first steps have grown what it needs.
#include <gtest/gtest.h>

#include "layers/adamw.h"
#include "layers/gradient_clip.h"
#include "layers/loss.h"
#include "layers/ranking_model.h"
#include "runtime/cuda_device_calls.h"
#include "runtime/memory.h"
#include "tests/layers/gradient_check.h"

namespace lime {
namespace {

struct Case {
  std::string model;
  Device device;
  DType dtype;
};

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const Device device : test_cuda_devices())
    for (const std::string model : {"lime_xor", "lime_mha", "hstu", "mha", "two_tower", "din"})
      for (const DType dtype : {DType::f32, DType::bf16}) all.push_back({model, device, dtype});
  return all;
}

class StepOnCuda : public DeviceTest, public testing::WithParamInterface<Case> {
 protected:
  StepOnCuda() : DeviceTest(GetParam().device, GetParam().dtype) {}
};
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(StepOnCuda);
INSTANTIATE_TEST_SUITE_P(Models, StepOnCuda, testing::ValuesIn(cases()), [](const auto& tested) {
  return str(tested.param.model, "_", to_string(tested.param.dtype));
});

// A batch on the device: what comes from a reader and from tables.
struct Batch {
  Batch(Context& ctx, const RankingModelConfig& c, const std::vector<int64_t>& histories,
        const std::vector<int64_t>& impressions)
      : history_offsets(ctx, offsets_of(histories)),
        candidate_offsets(ctx, offsets_of(impressions)),
        history(random_tensor(ctx, offsets_of(histories).back(), c.history_features, 1)),
        candidates(random_tensor(ctx, offsets_of(impressions).back(), c.candidate_features, 2)),
        user(random_tensor(ctx, static_cast<int64_t>(histories.size()), c.user_features, 3)),
        labels(ctx.device(), ctx.parameter_dtype(), candidates.rows(), c.tasks),
        weights(ctx.device(), ctx.parameter_dtype(), candidates.rows(), c.tasks),
        dhistory(ctx.device(), ctx.dtype(), history.rows(), history.cols()),
        dcandidates(ctx.device(), ctx.dtype(), candidates.rows(), candidates.cols()),
        duser(ctx.device(), ctx.dtype(), user.rows(), user.cols()),
        logits(ctx.device(), ctx.parameter_dtype(), candidates.rows(), c.tasks),
        dlogits(ctx.device(), ctx.parameter_dtype(), candidates.rows(), c.tasks) {
    fill(ctx, labels, 1);
    fill(ctx, weights, 1);
  }
  DeviceJagged history_offsets, candidate_offsets;
  Tensor history, candidates, user, labels, weights, dhistory, dcandidates, duser, logits, dlogits;
};

struct Calls {
  int64_t allocations = cuda::device_calls.allocations, frees = cuda::device_calls.frees,
          waits = cuda::device_calls.waits, searches = cuda::device_calls.searches;
};

TEST_P(StepOnCuda, AsksForNoMemoryAndDoesNotWait) {
  RankingModelConfig c;
  c.name = GetParam().model;
  c.history_features = 24, c.candidate_features = 16, c.user_features = 8;
  c.width = 32, c.heads = 1, c.links = 16, c.blocks = 2, c.head_hidden = 16, c.max_positions = 8, c.tasks = 2;
  ParameterStore store;
  RankingModel model(c, store);
  store.allocate(ctx, 5);
  AdamW optimizer(ctx, store, {});
  Tensor loss(ctx.device(), DType::f64, 1, c.tasks), squares(ctx.device(), DType::f64, 1, 1),
      clip(ctx.device(), DType::f64, 1, 1);
  Batch large(ctx, c, {5, 0, 18}, {2, 1, 1}), small(ctx, c, {4, 7}, {1, 2});
  int64_t steps = 0;
  const auto step = [&](Batch& batch) {
    ctx.arena().reset();
    model.forward(ctx,
                  {batch.history.view(), batch.candidates.view(), batch.user.view(), batch.history_offsets,
                   batch.candidate_offsets},
                  batch.logits);
    bce_with_logits(ctx, batch.logits.view(), batch.labels.view(), batch.weights.view(), batch.dlogits, loss);
    model.backward(ctx, batch.dlogits.view(), {batch.dhistory, batch.dcandidates, batch.duser});
    sum_of_squares(ctx, store.grads(), squares);
    clip_scale(ctx, squares.view(), 1, clip);
    optimizer.update(ctx, store, store.grads(), 1e-2, clip.view(), ++steps);
  };
  for (int i = 0; i < 2; ++i) step(large), step(small);
  ctx.synchronize();
  const double first_loss = values_of(loss.view())[0];

  const Calls before;
  for (int i = 0; i < 2; ++i) step(large), step(small);
  const Calls after;
  EXPECT_EQ(after.allocations, before.allocations);
  EXPECT_EQ(after.frees, before.frees);
  EXPECT_EQ(after.waits, before.waits);
  EXPECT_EQ(after.searches, before.searches);
  EXPECT_GT(before.searches, 0);

  EXPECT_LT(values_of(loss.view())[0], first_loss);  // they were steps
}

// The counters see what they are there to see.
TEST(DeviceCalls, MemoryAndWaitsAreCounted) {
  for (const Device device : test_cuda_devices()) {
    if (!skip_reason(device).empty()) GTEST_SKIP() << skip_reason(device);
    Context ctx(device);
    const Calls before;
    Tensor memory(device, DType::f32, 1, 100);
    const PinnedBuffer pinned(device, 100);
    EXPECT_EQ(Calls().allocations, before.allocations + 2);
    memory = Tensor();
    EXPECT_EQ(Calls().frees, before.frees + 1);
    ctx.synchronize();
    cuda::Event event(device.index);
    event.record(ctx.stream());
    event.synchronize();
    EXPECT_EQ(Calls().waits, before.waits + 2);
  }
}

}  // namespace
}  // namespace lime
