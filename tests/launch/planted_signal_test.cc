// Learning, end to end: a generated log whose best AUC is known by construction. LIME-XOR must come close to
// it; a model that only averages the history must not, or the log shows nothing.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "io/dataset.h"
#include "runtime/error.h"
#include "tests/launch/program.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

TEST(PlantedSignal, LimeXorReachesItAndTwoTowerCannot) {
  const TempDirectory temp;
  const Outcome made = lime_program("generate --preset quickstart --out " + temp.file("data"));
  ASSERT_EQ(made.exit_code, 0) << made.err;
  const auto facts = Dataset::open(temp.file("data")).schema().facts;
  const double best = facts.at("bayes_auc"), without_history = facts.at("no_history_auc");
  ASSERT_GT(best, without_history + 0.2);

  const auto auc = [&](const std::string& model) {
    const std::string run = temp.file(model);
    const Outcome trained =
        lime_program_on(2, str("train ", LIME_SOURCE_DIR, "/configs/quickstart.yaml --out ", run,
                               " --set data.path=", temp.file("data"), " --set model.name=", model));
    EXPECT_EQ(trained.exit_code, 0) << trained.err;
    return nlohmann::json::parse(read_file(run + "/eval.json"))
        .at(0)
        .at("tasks")
        .at(0)
        .at("all")
        .at("auc")
        .get<double>();
  };
  const double lime_xor = auc("lime_xor");
  EXPECT_GT(lime_xor, best - 0.01);
  EXPECT_LT(lime_xor, best + 0.003) << "better than possible: a leak";
  EXPECT_LT(auc("two_tower"), without_history + 0.1);
}

}  // namespace
}  // namespace lime
