// Whole runs on devices: the same bits on any number of ranks and over a resume, and the CPU's values.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "io/hdf5_file.h"
#include "runtime/error.h"
#include "tests/launch/train_runs.h"
#include "tests/support/device_support.h"

namespace lime {
namespace {

using testing::HasSubstr;

TEST_F(Train, OnADeviceTheSameBitsOnAnyRanksAndOverAResumeAndTheCpusValues) {
  if (const auto missing = skip_reason({DeviceType::cuda, 0}); !missing.empty()) GTEST_SKIP() << missing;
  const std::string model = "model.name=two_tower --set embeddings.tables.user.type=bf16 --set ",
                    on_device = model + "device=cuda:0 --set ";
  train(1, "cpu", model + "train.max_steps=6");
  for (const int ranks : {1, 2, 4}) train(ranks, str("device", ranks), on_device + "train.max_steps=6");
  const std::string one = digests("device1", 6);
  EXPECT_EQ(one, digests("device2", 6));
  EXPECT_EQ(one, digests("device4", 6));
  train(2, "device_halves", on_device + "train.max_steps=3");
  resume(1, "device_halves", "train.max_steps=6");
  EXPECT_EQ(one, digests("device_halves", 6));
  // A checkpoint is of no device: runs go on from one to the other.
  train(1, "to_device", model + "train.max_steps=3");
  resume(1, "to_device", "train.max_steps=6 --set device=cuda:0");
  train(1, "from_device", on_device + "train.max_steps=3");
  resume(1, "from_device", "train.max_steps=6 --set device=cpu");
  for (const std::string run : {"device1", "to_device", "from_device"}) {
    EXPECT_LT(relative_difference("cpu", run, 6), 1e-4) << run;
    for (const std::string table : {"item", "segment"})
      EXPECT_LT(table_difference("cpu", run, 6, table), 1e-4) << run;
  }

  std::vector<std::vector<float>> scores;  // of a model from the device, on it and on the CPU
  for (const std::string device : {"cuda:0", "cpu"}) {
    const std::string out = path(device + ".h5");
    const Outcome outcome = lime_program(
        str("predict ", path("device1"), " --days 2024-01-03 --out ", out, " --set device=", device));
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    scores.push_back(Hdf5File(out, Hdf5File::Mode::read).read<float>("/score/click"));
  }
  ASSERT_EQ(scores[0].size(), scores[1].size());
  for (size_t i = 0; i < scores[0].size(); ++i) ASSERT_NEAR(scores[0][i], scores[1][i], 1e-5);
}

// The tables are those of the CPU; so are the bits on any ranks, since the sparse side is.
TEST_F(Train, TablesInHostMemoryBesideADevice) {
  if (const auto missing = skip_reason({DeviceType::cuda, 0}); !missing.empty()) GTEST_SKIP() << missing;
  const std::string model = "model.name=two_tower --set ",
                    offloaded = model + "device=cuda:0 --set embeddings.memory=host --set ";
  train(1, "all_host", model + "train.max_steps=6");
  for (const int ranks : {1, 2, 4}) train(ranks, str("offloaded", ranks), offloaded + "train.max_steps=6");
  const std::string one = digests("offloaded1", 6);
  EXPECT_EQ(one, digests("offloaded2", 6));
  EXPECT_EQ(one, digests("offloaded4", 6));
  EXPECT_LT(relative_difference("all_host", "offloaded1", 6), 1e-4);
  for (const std::string table : {"item", "segment"})
    EXPECT_LT(table_difference("all_host", "offloaded1", 6, table), 1e-4);
  // Rows go from one memory to the other.
  train(1, "moved", offloaded + "train.max_steps=3");
  resume(1, "moved", "train.max_steps=6 --set embeddings.memory=device");
  EXPECT_LT(relative_difference("all_host", "moved", 6), 1e-4);
}

// One device a rank, as on a cluster: NCCL joins them.
TEST_F(Train, EachRankOnADeviceOfItsOwnTheSameBitsOverNccl) {
  setenv("LIME_EMULATED_DEVICES", "4", 1);
  const std::string settings = "model.name=two_tower --set device=cuda --set train.max_steps=6";
  for (const int ranks : {2, 4})
    if (const auto missing = skip_reason({DeviceType::cuda, ranks - 1}); !missing.empty())
      GTEST_SKIP() << missing;
  train(1, "alone_on_device", settings);
  const std::string one = digests("alone_on_device", 6);
  for (const int ranks : {2, 4}) {
    const std::string run = str("over_nccl", ranks);
    const Outcome outcome = lime_program_on(ranks, train_command(run, settings));
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr(str(ranks, " ranks over NCCL, ")));
    EXPECT_EQ(one, digests(run, 6));
    int told = 0;
    for (const auto& line : metrics(run)) {
      if (!line.contains("slowest_rank")) continue;  // a step's work is known one or two later
      ++told;
      EXPECT_GT(line.at("work_ms_fastest").get<double>(), 0);
      EXPECT_LT(line.at("slowest_rank").get<int>(), ranks);
    }
    EXPECT_GE(told, 3);
  }
  const std::string json = path("over_nccl.json");
  std::vector<std::string> evaluated;
  for (const int ranks : {1, 4}) {
    const Outcome outcome = lime_program_on(
        ranks, str("eval ", path("over_nccl2"), " --days 2024-01-03 --json ", json, " --set device=cuda"));
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    evaluated.push_back(read_file(json));
  }
  EXPECT_EQ(evaluated[0], evaluated[1]);
}

// At its end a run evaluates its best checkpoint: another network where the trained one was.
TEST_F(Train, TheBestCheckpointOfARunOnDevices) {
  setenv("LIME_EMULATED_DEVICES", "2", 1);
  if (const auto missing = skip_reason({DeviceType::cuda, 1}); !missing.empty()) GTEST_SKIP() << missing;
  const std::string settings =
      "model.name=two_tower --set device=cuda --set train.max_steps=6 --set data.eval=2024-01-03"
      " --set train.eval_every=1 --set train.keep_checkpoints=1 --set train.learning_rate=0.3"
      " --set train.best=click.ne --set train.patience=1";
  train(2, "best_on_devices", settings);
  const auto best = nlohmann::json::parse(read_file(path("best_on_devices/best.json")));
  const auto last = metrics("best_on_devices").back().at("step").get<int>();
  ASSERT_NE(path("best_on_devices/checkpoints/" + best.at("checkpoint").get<std::string>()),
            checkpoint("best_on_devices", last));
  const std::string json = path("best_on_devices.json");
  const Outcome evaluated =
      lime_program(str("eval ", path("best_on_devices"), " --json ", json, " --set device=cuda"));
  ASSERT_EQ(evaluated.exit_code, 0) << evaluated.err;
  EXPECT_EQ(read_file(json), read_file(path("best_on_devices/eval.json")));
}

// Parts of histories on devices, whose sums NCCL carries.
TEST_F(Train, HistoriesInPartsOnDevicesOverNccl) {
  setenv("LIME_EMULATED_DEVICES", "4", 1);
  if (const auto missing = skip_reason({DeviceType::cuda, 3}); !missing.empty()) GTEST_SKIP() << missing;
  const std::string settings = "train.max_steps=1 --set train.context_parallel=2";
  train(2, "cut_host", settings);
  for (const int ranks : {2, 4}) {
    const Outcome outcome =
        lime_program_on(ranks, train_command(str("cut", ranks), settings + " --set device=cuda"));
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr(str(ranks, " ranks over NCCL, each history on 2, ")));
  }
  EXPECT_EQ(digests("cut2", 1), digests("cut4", 1));
  EXPECT_LT(relative_difference("cut_host", "cut2", 1), 1e-4);
}

// With attention, which the emulator takes its time for: few steps.
TEST_F(Train, AttentionOnADeviceInF32AndBf16) {
  if (const auto missing = skip_reason({DeviceType::cuda, 0}); !missing.empty()) GTEST_SKIP() << missing;
  for (const std::string model : {"lime_xor", "hstu"}) {
    SCOPED_TRACE(model);
    const std::string steps = str("model.name=", model, " --set train.max_steps=2"),
                      on_device = steps + " --set device=cuda:0";
    train(1, model + "_cpu", steps);
    train(1, model + "_device", on_device);
    train(2, model + "_two", on_device);
    train(1, model + "_half", on_device + " --set train.precision=bf16");
    EXPECT_EQ(digests(model + "_device", 2), digests(model + "_two", 2));
    EXPECT_LT(relative_difference(model + "_cpu", model + "_device", 2), 1e-4);
    EXPECT_LT(relative_difference(model + "_cpu", model + "_half", 2), 0.02);
  }
}

}  // namespace
}  // namespace lime
