// However a checkpoint is come by, its files are read for their checksums once.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <numeric>

#include "launch/trained_run.h"
#include "launch/trainer.h"
#include "model/checkpoint_manifest.h"
#include "serving/served_model.h"
#include "tests/launch/small_run.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

constexpr size_t ballast_bytes = size_t{16} << 20;  // far more than all else that a small run reads

// All bytes that the processes of this job asked of files, ever.
int64_t bytes_read() {
  std::ifstream counters("/proc/self/io");
  std::string name;
  int64_t bytes = -1;
  counters >> name >> bytes;
  LIME_CHECK(name == "rchar:", "expected Linux's counters of a process");
  const auto of_ranks = all_gather_values(test_group().world(), std::span<const int64_t>(&bytes, 1));
  return std::accumulate(of_ranks.begin(), of_ranks.end(), int64_t{0});
}

// A trained run whose checkpoint has one file more, which is verified but holds nothing to load: what is read
// of it is read for its checksum.
class CheckpointReads : public testing::Test {
 protected:
  CheckpointReads() {
    if (test_group().rank() == 0) write_small_dataset(directory_.file("data"));
    test_group().world().barrier()->wait();
    config_ = small_config(directory_.file("data"), {{"train.max_steps", "1"}});
    train(test_group(), config_, {.run_directory = run_});
    if (test_group().rank() == 0) {
      const std::string checkpoint = checkpoint_directory(run_, list_checkpoints(run_).front());
      const std::string path = checkpoint + "/" + manifest_name;
      CheckpointManifest manifest = parse_manifest(read_file(path), path);
      write_file(checkpoint + "/ballast", std::string(ballast_bytes, 'x'));
      manifest.files.push_back(describe_file(checkpoint, "ballast"));
      write_file(path, to_text(manifest));
    }
    test_group().world().barrier()->wait();
  }

  // How often `use` reads the ballast.
  template <typename F>
  static double readings(const F& use) {
    const int64_t before = bytes_read();
    use();
    return static_cast<double>(bytes_read() - before) / static_cast<double>(ballast_bytes);
  }

  TempDirectory directory_{TempDirectory::Shared::yes};
  std::string run_ = directory_.file("run");
  Config config_;
};

constexpr double other_reads = 0.2;

TEST_F(CheckpointReads, OnceWhereARunGoesOn) {
  EXPECT_NEAR(readings([&] { train(test_group(), config_, {.run_directory = run_, .resume = true}); }), 1,
              other_reads);
}

TEST_F(CheckpointReads, OnceWhereANewRunBeginsWithIt) {
  for (const std::string& from : {run_, checkpoint_directory(run_, list_checkpoints(run_).front())}) {
    Config config = config_;
    config.train.from = from;
    const std::string next = directory_.file("next of " + std::filesystem::path(from).filename().string());
    EXPECT_NEAR(readings([&] {
                  train(test_group(), config,
                        {.run_directory = next,
                         .first_weights = resolve_first_weights(test_group().world(), config)});
                }),
                1, other_reads)
        << from;
  }
}

TEST_F(CheckpointReads, ScoringHoldsNoOptimizerState) {
  TrainedRun run(test_group(), RunDescription(test_group(), {run_, "", "", {}}));
  const EmbeddingCollection& tables = run.scoring().network.tables();
  int64_t rows = 0;
  for (size_t t = 0; t < tables.tables().size(); ++t) {
    EXPECT_EQ(tables.state_width(static_cast<int64_t>(t)), 0);
    rows += tables.rows(static_cast<int64_t>(t));
  }
  EXPECT_GT(rows, 0);
}

TEST_F(CheckpointReads, OnceForScoring) {
  for (const std::string& name : {std::string(), list_checkpoints(run_).front()}) {
    const RunChoice choice{run_, name, "", {}};
    EXPECT_NEAR(readings([&] { TrainedRun(test_group(), RunDescription(test_group(), choice)); }), 1,
                other_reads)
        << name;
    if (test_group().size() == 1) {
      EXPECT_NEAR(readings([&] { ServedModel{choice}; }), 1, other_reads) << name;
    }
  }
}

}  // namespace
}  // namespace lime
