// Learning, end to end: generated logs whose best AUC is known by construction. LIME-XOR must come close to
// it; a model that only averages the history, or sees only the latest events, must not, or the log shows
// nothing.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "io/dataset.h"
#include "runtime/error.h"
#include "tests/launch/program.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

// A generated log and runs over it.
class PlantedSignal : public testing::Test {
 protected:
  void generate(const std::string& options) {
    const Outcome made = lime_program("generate --out " + temp_.file("data") + " " + options);
    ASSERT_EQ(made.exit_code, 0) << made.err;
    const auto facts = Dataset::open(temp_.file("data")).schema().facts;
    best_ = facts.at("bayes_auc"), without_history_ = facts.at("no_history_auc");
    ASSERT_GT(best_, without_history_ + 0.2);
  }

  // Held-out AUC after training on two ranks. `name` is of this run alone.
  double auc(const std::string& name, const std::string& config, const std::vector<std::string>& settings) {
    const std::string run = temp_.file(name);
    std::string command = str("train ", LIME_SOURCE_DIR, "/configs/", config, " --out ", run,
                              " --set data.path=", temp_.file("data"));
    for (const std::string& setting : settings) command += " --set " + setting;
    const Outcome trained = lime_program_on(2, command);
    EXPECT_EQ(trained.exit_code, 0) << trained.err;
    return held_out_auc(run);
  }

  TempDirectory temp_;
  double best_ = 0, without_history_ = 0;
};

TEST_F(PlantedSignal, LimeXorReachesItAndTwoTowerCannot) {
  generate("--preset quickstart");
  const double lime_xor = auc("lime_xor", "quickstart.yaml", {"model.name=lime_xor"});
  EXPECT_GT(lime_xor, best_ - 0.01);
  EXPECT_LT(lime_xor, best_ + 0.003) << "better than possible: a leak";
  EXPECT_LT(auc("two_tower", "quickstart.yaml", {"model.name=two_tower"}), without_history_ + 0.1);
}

// The long-history log made small: what is liked shows further back than the latest 100 events.
TEST_F(PlantedSignal, LimeXorReadsFurtherBackThanALimitOnHistories) {
  generate(
      "--preset long-history --users 800 --items 100 --days 5 --history-min 200 --history-max 2000 "
      "--history-mean 400 --signal-lag 100");
  const double whole = auc("whole", "long-history.yaml", {});
  EXPECT_GT(whole, best_ - 0.02);
  EXPECT_LT(whole, best_ + 0.005) << "better than possible: a leak";
  EXPECT_LT(auc("latest", "long-history.yaml", {"data.max_history=100"}), without_history_ + 0.02);
  EXPECT_LT(auc("truncated", "long-history.yaml", {"model.name=truncated_mha", "model.links=100"}),
            without_history_ + 0.02);
}

}  // namespace
}  // namespace lime
