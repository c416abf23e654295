// A training step on a CUDA device for each rank, joined by NCCL: the host gives its work and waits for
// nothing that other ranks' devices do, in the exchanges of rows and gradients neither.
#include <gtest/gtest.h>

#include <cstdlib>

#include "parallel/device_communicator.h"
#include "runtime/cuda_device_calls.h"
#include "tests/launch/small_run.h"
#include "tests/launch/step_loop.h"
#include "tests/support/device_support.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

// With whole histories on a rank, and with each cut along time over the ranks.
class TrainStepOnRanks : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Parts, TrainStepOnRanks, testing::Values(1, 2));

TEST_P(TrainStepOnRanks, TheHostWaitsForNoExchange) {
  if (test_cuda_devices().empty()) GTEST_SKIP() << "a build without CUDA";
  ProcessGroup& group = test_group();
  setenv("LIME_EMULATED_DEVICES", "4", 1);
  if (const auto missing = skip_reason({DeviceType::cuda, group.size() - 1}); !missing.empty())
    GTEST_SKIP() << "a device for each rank: " << missing;

  const TempDirectory directory;
  const Dataset dataset = write_small_dataset(directory.file("data"));
  const Config config = small_config(
      directory.file("data"), {{"train.context_parallel", str(GetParam())}, {"train.batch_requests", "8"}});
  Context ctx({DeviceType::cuda, group.local_rank()});
  const auto of_tables = make_device_communicator(group.world(), ctx);
  ASSERT_STREQ(of_tables->name(), "nccl");
  Network network(ctx, group.world(), config, dataset.schema(), of_tables.get());
  AdamW adamw(ctx, network.parameters(), config.train.adamw);
  TrainStep step(group, ctx, config, network, adamw);
  BatchSource source(group, dataset, config, 0, {});
  StepLoop loop(step, source, 2);

  loop.epoch(), loop.epoch();  // all ids get rows
  const int64_t waits = cuda::device_calls.waits;
  loop.epoch();
  // As on one device (train_step_test): the counts of the next step's ids, the outcome of the step before,
  // the number of rows there were four updates ago.
  EXPECT_LE(cuda::device_calls.waits - waits, 3 * static_cast<int64_t>(loop.batches.size()));
  loop.hear();
  EXPECT_LT(loop.losses.back(), loop.losses[loop.batches.size() - 1]);  // of the same batch
}

}  // namespace
}  // namespace lime
