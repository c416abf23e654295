// A whole training step on a CUDA device - tables, network, clipping, updates - as the trainer gives it,
// while the step before is under way: it takes no memory, and the host waits for nothing that it was not told
// to.
#include "launch/train_step.h"

#include <gtest/gtest.h>

#include <cmath>

#include <optional>
#include <vector>

#include "runtime/cuda_device_calls.h"
#include "runtime/stopwatch.h"
#include "tests/launch/small_run.h"
#include "tests/launch/step_loop.h"
#include "tests/support/device_support.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

// A small run about to make its steps, after so many.
struct SmallTraining {
  explicit SmallTraining(Device device, int steps = 0)
      : run(test_group().world(), small_config(directory.file("data")), dataset, device) {
    if (steps > 0) run.train(test_group(), dataset, steps);
    step.emplace(test_group(), run.ctx, run.config, run.network, run.adamw);
    source.emplace(test_group(), dataset, run.config, 0, std::vector<ShardPosition>{});
  }

  const TempDirectory directory;
  const Dataset dataset = write_small_dataset(directory.file("data"));
  SmallRun run;
  std::optional<TrainStep> step;
  std::optional<BatchSource> source;
};

TEST(TrainStep, OnADeviceTakesNoMemoryAndWaitsOnlyForWhatItReports) {
  for (const Device device : test_cuda_devices()) {
    if (!skip_reason(device).empty()) GTEST_SKIP() << skip_reason(device);
    SmallTraining training(device);
    StepLoop loop(*training.step, *training.source, 3);
    loop.epoch(), loop.epoch(), loop.epoch();  // memory grows, all ids get rows
    // On a GPU, page-locked memory grows while copies are under way that were not before: a matter of time.
    const auto taken = [] { return cuda::device_calls.allocations + cuda::device_calls.frees; };
    int64_t before = 0, waits = 0;
    int epochs = 3;
    do {
      before = taken(), waits = cuda::device_calls.waits;
      loop.epoch(), ++epochs;
    } while (taken() != before && epochs < 10);
    EXPECT_EQ(taken(), before);
    // A step: the counts of its distinct ids, sorted under the step before; the outcome of the step before;
    // how many rows there were four updates ago, which only the emulator has not told of by then.
    EXPECT_LE(cuda::device_calls.waits - waits, 3 * static_cast<int64_t>(loop.batches.size()));
    loop.hear();
    ASSERT_EQ(loop.losses.size(), loop.batches.size() * static_cast<size_t>(epochs));
    EXPECT_LT(loop.losses.back(), loop.losses[2]);  // of the same batch
  }
}

TEST(BaseLogits, AreFiniteAndByWeight) {
  GlobalBatch batch;
  batch.candidates = 10;
  batch.task_weight_sum = {10, 40, 10, 0};
  batch.task_label_sum = {2, 8, 0, 0};
  const auto logits = base_logits(batch);
  ASSERT_EQ(logits.size(), 4u);
  EXPECT_DOUBLE_EQ(logits[0], std::log(2.5 / 8.5));
  EXPECT_DOUBLE_EQ(logits[1], logits[0]);
  EXPECT_DOUBLE_EQ(logits[2], std::log(0.5 / 10.5));
  EXPECT_EQ(logits[3], 0);
}

TEST(TrainStep, TellsItsWorkOnce) {
  for (const Device device : test_devices()) {
    if (!skip_reason(device).empty()) GTEST_SKIP() << skip_reason(device);
    SmallTraining training(device);
    TrainStep& step = *training.step;
    BatchSource& source = *training.source;
    EXPECT_EQ(step.take_work_ms(), 0);
    for (int64_t number = 1; number <= 3; ++number) {
      const GlobalBatch batch = *source.next(false);
      const Stopwatch watch;
      step.run(batch, nullptr, number, 1e-2, 1.0);
      step.outcomes();
      const double worked = step.take_work_ms();
      EXPECT_GT(worked, 0);
      EXPECT_LE(worked, watch.ms());
      EXPECT_EQ(step.take_work_ms(), 0);
    }
  }
}

TEST(TrainStep, WeightsFreezeWhereTheNormIsNotFinite) {
  for (const Device device : test_devices()) {
    if (!skip_reason(device).empty()) GTEST_SKIP() << skip_reason(device);
    SmallTraining training(device, 1);
    SmallRun& run = training.run;
    TrainStep& step = *training.step;
    BatchSource& source = *training.source;
    GlobalBatch good = *source.next(false), bad = *source.next(false);
    bad.task_weight_sum[0] = 1e-320;  // its gradients overflow
    const auto values = [&] {
      auto all = to_host<float>(run.ctx, run.network.parameters().values());
      for (int64_t table = 0; table < static_cast<int64_t>(run.network.tables().tables().size()); ++table)
        for (int64_t bucket = 0; bucket < virtual_buckets; ++bucket)
          for (const float x : run.network.tables().bucket_rows(table, bucket).values) all.push_back(x);
      return all;
    };
    const std::vector<float> before = values();
    step.run(bad, &good, 2, 1e-2, 1.0);
    step.run(good, nullptr, 3, 1e-2, 1.0);  // begun before anybody has heard of the one before
    const auto outcomes = step.outcomes();
    ASSERT_EQ(outcomes.size(), 2u);
    EXPECT_FALSE(outcomes[0].finite);
    EXPECT_EQ(outcomes[0].step, 2);
    const std::vector<float> after = values();
    ASSERT_EQ(before.size(), after.size());
    for (size_t i = 0; i < before.size(); ++i) ASSERT_EQ(before[i], after[i]) << i;
  }
}

}  // namespace
}  // namespace lime
