// One random log, and the dataset that was written of it, for all tests of a suite.
#pragma once

#include <gtest/gtest.h>

#include "tests/io/random_log.h"
#include "tests/support/test_support.h"

namespace lime {

// 7 parts, so that shards hold different numbers of them.
class OnRandomLog : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    temp_ = new TempDirectory;
    log_ = new RandomLog(make_random_log(11, {60, 3000, 1500, 3}));
    dataset_ = new Dataset(write_log(*log_, temp_->file("data"), small_writer(7)));
  }
  static void TearDownTestSuite() {
    delete dataset_;
    delete log_;
    delete temp_;
  }
  static inline TempDirectory* temp_;
  static inline RandomLog* log_;
  static inline Dataset* dataset_;
};

}  // namespace lime
