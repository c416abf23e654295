// A run trained over all ranks and its checkpoint, from which one process can score alone.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "launch/scoring.h"
#include "tests/launch/small_run.h"
#include "tests/support/test_support.h"

namespace lime {

class TrainedSmallRun : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    directory_ = new TempDirectory(TempDirectory::Shared::yes);
    dataset_ = new Dataset(shared_small_dataset(directory_->file("data")));
    run_ = new SmallRun(test_group().world(),
                        small_config(directory_->file("data"), {{"data.train", "2024-01-01"}}), *dataset_);
    run_->train(test_group(), *dataset_, 2);
    checkpoint_ = save_checkpoint(test_group().world(), directory_->file("run"), run_->config, run_->network,
                                  run_->adamw, run_->state, 1);
  }
  static void TearDownTestSuite() {
    delete run_;
    delete dataset_;
    delete directory_;
  }

  static Scoring scoring_of(SmallRun& run, Communicator& comm = test_group().world(),
                            const Dataset& dataset = *dataset_) {
    return {comm, run.ctx, run.network, run.config, dataset};
  }
  // The same model in one process of its own.
  struct Alone {
    std::unique_ptr<Communicator> comm = make_self_communicator();
    SmallRun run{*comm, run_->config, *dataset_};
    Scoring scoring = scoring_of(run, *comm);
    Alone() { load(*comm, checkpoint_, run); }
  };

  inline static const std::vector<std::string> held_out{"2024-01-02", "2024-01-03"};
  static inline TempDirectory* directory_;
  static inline Dataset* dataset_;
  static inline SmallRun* run_;
  static inline std::string checkpoint_;
};

}  // namespace lime
