// Columns that give a label away are named, and what is known before it is not.
#include "io/features_alone.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "io/dataset_writer.h"
#include "io/feature_profile.h"
#include "io/generate.h"
#include "runtime/philox.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Key;
using testing::Not;

constexpr int64_t users = 1500, days = 3, requests_a_day = 2, candidates = 4;  // of a user; of a request

// A log in which every third candidate is clicked on, and columns that know it, or something of it.
class FeaturesAloneTest : public testing::Test {
 protected:
  // `leaks(day)`: whether the columns of that day are what they become afterwards.
  template <typename Leaks>
  Dataset write(Leaks&& leaks) {
    DatasetSchema schema;
    schema.name = "leaky", schema.source = "test";
    using enum ColumnGroup;
    using enum ColumnKind;
    schema.columns = {{"place", request, id},      // says nothing
                      {"came_by", request, id},    // 1 where any candidate is clicked on: rather much
                      {"topic", candidate, id},    // is known before: two values, 0.8 against 0.2
                      {"order", candidate, id},    // a number of its own, missing without a click
                      {"nonce", candidate, id},    // another one for every candidate
                      {"badges", candidate, ids},  // 99 among others after a click
                      {"price", candidate, real},  // says nothing
                      {"watch_s", candidate, real}};
    schema.labels = {"click", "rare"};
    WriterOptions options;
    options.parts = 2;
    DatasetWriter writer(directory_.file("data"), schema, options);
    int64_t n = 0;
    for (int64_t day = 0; day < days; ++day)
      for (int64_t user = 0; user < users; ++user)
        for (int64_t r = 0; r < requests_a_day; ++r) {
          RequestRow row;
          row.user = user, row.day = str("2024-01-0", day + 1);
          row.time_ms = 1704067200000 + day * 86400000 + user * 10000 + r * 1000;
          int64_t clicks = 0;
          for (int64_t c = 0; c < candidates; ++c, ++n) {
            const bool click = draw(n, 0) < 1.0 / 3, known = leaks(day) && click;
            clicks += click;
            RequestRow::Candidate shown;
            shown.item = static_cast<int64_t>(40 * draw(n, 1));
            shown.values.ids = {(draw(n, 2) < 0.8) == click, known ? n : -1, n};
            shown.values.lists = {
                {static_cast<int64_t>(9 * draw(n, 3)), static_cast<int64_t>(9 * draw(n, 4))}};
            if (known) shown.values.lists[0].push_back(99);
            shown.values.reals = {static_cast<float>(100 * draw(n, 5)),
                                  static_cast<float>(known ? 1 + 600 * draw(n, 6) : 2 * draw(n, 6))};
            shown.labels = {click ? 1.0f : 0.0f, n < 99 ? 0.5f : 0.49f};
            row.candidates.push_back(shown);
          }
          row.values.ids = {static_cast<int64_t>(5 * draw(n, 7)), clicks > 0};
          writer.add_request(row);
        }
    return writer.finish();
  }
  // Uniform.
  static double draw(int64_t candidate, int64_t column) {
    return Philox(1, stream_of("features alone")).uniform(static_cast<uint64_t>(8 * candidate + column));
  }
  static std::vector<std::string> all_days(const Dataset& dataset) {
    std::vector<std::string> all;
    for (const auto& day : dataset.days()) all.push_back(day.day);
    return all;
  }
  static std::map<std::string, double> aucs(const DatasetProfile& profile, size_t label = 0) {
    std::map<std::string, double> all;
    for (const auto& feature : profile.features)
      if (!feature.auc.empty()) all[feature.name] = feature.auc.at(label);
    return all;
  }
  static std::vector<std::string> names(const std::vector<Giveaway>& giveaways) {
    std::vector<std::string> all;
    for (const auto& found : giveaways)
      all.push_back(str(to_string(found.side), ".", found.feature, " ", found.label));
    return all;
  }

  TempDirectory directory_;
};

const auto always = [](int64_t) { return true; };
const auto never = [](int64_t) { return false; };

TEST_F(FeaturesAloneTest, WhatIsOnlyKnownAfterwardsIsNamed) {
  const Dataset dataset = write(always);
  const DatasetProfile profile = profile_features(dataset, all_days(dataset));
  auto alone = aucs(profile);
  EXPECT_THAT(names(profile.giveaways),
              ElementsAre("candidate.order click", "candidate.badges click", "candidate.watch_s click"));
  EXPECT_DOUBLE_EQ(alone.at("candidate.order"), 1);
  EXPECT_DOUBLE_EQ(alone.at("candidate.badges"), 1);
  EXPECT_GT(alone.at("candidate.watch_s"), 0.99);
  EXPECT_LT(alone.at("candidate.watch_s"), 1);           // clicks of less than two seconds
  EXPECT_NEAR(alone.at("candidate.topic"), 0.8, 0.015);  // strong, and innocent
  EXPECT_NEAR(alone.at("user.came_by"), 0.648, 0.01);    // counted by candidates
  EXPECT_DOUBLE_EQ(alone.at("candidate.nonce"), 0.5);    // as many values as rows
  for (const char* name : {"candidate.item", "candidate.price", "user.place", "user.user"})
    EXPECT_NEAR(alone.at(name), 0.5, 0.03) << name;
}

TEST_F(FeaturesAloneTest, WhatIsKnownBeforeIsNot) {
  const Dataset dataset = write(never);
  const DatasetProfile profile = profile_features(dataset, all_days(dataset));
  EXPECT_THAT(profile.giveaways, IsEmpty());
  const auto alone = aucs(profile);
  EXPECT_DOUBLE_EQ(alone.at("candidate.order"), 0.5);  // always missing
  for (const char* name : {"candidate.badges", "candidate.watch_s"})
    EXPECT_NEAR(alone.at(name), 0.5, 0.03) << name;
}

TEST_F(FeaturesAloneTest, LabelsOfAlmostOneKindHaveNone) {
  const Dataset dataset = write(always);
  const DatasetProfile profile = profile_features(dataset, all_days(dataset));
  ASSERT_EQ(profile.labels.size(), 2u);
  EXPECT_EQ(profile.labels[1].name, "rare");
  EXPECT_EQ(profile.labels[1].positives, 99);
  EXPECT_EQ(profile.labels[1].positives + profile.labels[1].negatives, profile.candidates);
  EXPECT_TRUE(profile.labels[0].enough());
  EXPECT_FALSE(profile.labels[1].enough());
  for (const auto& [name, auc] : aucs(profile, 1)) EXPECT_TRUE(std::isnan(auc)) << name;
}

TEST_F(FeaturesAloneTest, TheLastDaysAreLookedAt) {
  const Dataset dataset = write([](int64_t day) { return day != 1; });
  const int64_t a_day = users * requests_a_day * candidates;
  EXPECT_THAT(names(find_giveaways(dataset, {"2024-01-02"}, 4 * a_day).found), IsEmpty());
  EXPECT_THAT(names(find_giveaways(dataset, {"2024-01-01", "2024-01-02"}, a_day).found), IsEmpty());
  for (const int64_t most : {a_day / 2, a_day})  // all of a day, or the half of it
    EXPECT_THAT(names(find_giveaways(dataset, all_days(dataset), most).found),
                ElementsAre("candidate.order click", "candidate.badges click", "candidate.watch_s click"));
  int64_t seen = 0, of = 0, ends = 0;
  find_giveaways(dataset, all_days(dataset), a_day / 2,
                 [&](int64_t done, int64_t total) { seen = done, of = total, ends += done == total; });
  EXPECT_EQ(seen, a_day / 2);
  EXPECT_EQ(of, a_day / 2);
  EXPECT_EQ(ends, 1);  // and reads no further
  EXPECT_THAT(names(find_giveaways(dataset, {}, 1).found), IsEmpty());
}

TEST_F(FeaturesAloneTest, IdsOfUsersAndItemsGiveNothingAway) {
  std::vector<Giveaway> found;
  const std::vector<LabelCount> labels = {{"click", 100, 100}, {"like", 100, 99}};
  const std::vector<double> sure = {1, std::nan("")};
  add_giveaways(FeatureSide::user, "user", labels, sure, found);
  add_giveaways(FeatureSide::candidate, "item", labels, sure, found);
  EXPECT_THAT(found, IsEmpty());
  add_giveaways(FeatureSide::candidate, "user", labels, sure, found);  // a column of that name
  add_giveaways(FeatureSide::user, "age", labels, {giveaway_auc - 1e-9, giveaway_auc}, found);
  EXPECT_THAT(names(found), ElementsAre("candidate.user click", "user.age like"));
}

// Nobody who reads no history ranks a generated log better than this.
TEST_F(FeaturesAloneTest, NoFeatureAloneIsAboveTheBestPossible) {
  GenerateOptions options;
  options.out = directory_.file("generated");
  options.users = 5000;
  options.writer.parts = 2;
  const GenerateReport report = generate(options);
  const Dataset dataset = Dataset::open(options.out);
  const DatasetProfile profile = profile_features(dataset, all_days(dataset));
  EXPECT_THAT(profile.giveaways, IsEmpty());
  const auto alone = aucs(profile);
  for (const auto& [name, auc] : alone) EXPECT_LT(auc, report.no_history_auc + 0.002) << name;
  EXPECT_GT(alone.at("candidate.item"), 0.55);  // its quality
  EXPECT_GT(alone.at("user.segment"), 0.52);    // its bias
  EXPECT_NEAR(alone.at("user.hour"), 0.5, 0.005);
  EXPECT_THAT(alone, Not(Contains(Key("history.item"))));
}

}  // namespace
}  // namespace lime
