// What `lime inspect --features` says.
#include "launch/profile_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace lime {
namespace {

using testing::HasSubstr;
using testing::Not;

FeatureProfile of_ids(const std::string& name, int64_t missing, int64_t distinct, int64_t id, int64_t times) {
  FeatureProfile feature;
  feature.name = name;
  feature.rows = 2000, feature.missing = missing, feature.values = 2000 - missing;
  feature.distinct = distinct, feature.most_frequent = id, feature.times = times;
  return feature;
}

DatasetProfile made_up() {
  DatasetProfile profile;
  profile.days = {"2024-01-01", "2024-01-02"};
  profile.requests = 2000, profile.candidates = 4000, profile.events = 8000;
  profile.compared = 2;
  profile.labels = {{"click", 1000, 3000}};
  profile.features = {of_ids("history.item", 0, 123456, 9, 1), of_ids("user.tab", 100, 12, 3, 950),
                      of_ids("user.vip", 1500, 1, 1, 500),     of_ids("user.app", 0, 1, 4, 2000),
                      of_ids("user.none", 2000, 0, -1, 0),     of_ids("user.user", 0, 65537, -1, 0)};
  profile.features[0].distinct_is_exact = profile.features[5].distinct_is_exact = false;
  FeatureProfile tags = of_ids("user.tags", 0, 7, 5, 1000);
  tags.kind = ColumnKind::ids, tags.values = 5000;
  FeatureProfile price = of_ids("user.price", 20, 0, -1, 0);
  price.kind = ColumnKind::real;
  price.percentiles = {{1, true}, {1.5f, false}, {20, false}, {300, false}, {1e7f, false}};
  profile.features.push_back(tags);
  profile.features.push_back(price);
  double auc = 0.5;
  for (size_t f = 1; f < profile.features.size(); ++f) profile.features[f].auc = {auc += 0.0124};
  return profile;
}

TEST(ProfileText, HasALineAFeature) {
  EXPECT_EQ(to_text(made_up()),
            "features of 2 days, 2,000 requests, 4,000 candidates; of histories the last 16 events\n"
            "AUC: of click, by the value of the feature alone\n"
            "                     missing  distinct     AUC  most frequent id, or percentiles of numbers\n"
            "  history.item (id)    0.0 %  ~123,456\n"
            "  user.tab (id)        5.0 %        12   0.512  3 in 50.0 %\n"
            "  user.vip (id)       75.0 %         1   0.525  1 or missing\n"
            "  user.app (id)        0.0 %         1   0.537  always 4\n"
            "  user.none (id)     100.0 %         0   0.550  no id\n"
            "  user.user (id)       0.0 %   ~65,537  ~0.562\n"
            "  user.tags (ids)      0.0 %         7   0.574  5 in 20.0 %; 2.5 a row\n"
            "  user.price (real)    1.0 %             0.587  P1 <1, P25 1.5, P50 20, P75 300, P99 1e+07\n"
            "no day is unlike the usual one\n");
}

TEST(ProfileText, NamesTheDaysThatAreUnlikeTheOthers) {
  DatasetProfile profile = made_up();
  profile.unlike = {{"2024-01-02", "user.tab", 0.05, 0.05, 0.9},
                    {"2024-01-01", "user.price", 0.4, 0.01, 0.123}};
  EXPECT_THAT(to_text(profile),
              HasSubstr("days unlike the usual one, by the share of their rows that would have to change:\n"
                        "  2024-01-02 user.tab    90.0 %\n"
                        "  2024-01-01 user.price  12.3 %  missing in 40.0 %, usually in 1.0 %\n"));
  EXPECT_THAT(to_text(profile), Not(HasSubstr("more\n")));
  EXPECT_THAT(to_text(profile, "", 1), testing::EndsWith("2024-01-02 user.tab  90.0 %\n  and 1 more\n"));
}

TEST(ProfileText, TheAucIsOfTheLabelThatIsAskedFor) {
  DatasetProfile profile = made_up();
  const double none = std::nan("");
  profile.labels = {{"hate", 99, 3901}, {"click", 1000, 3000}, {"like", 100, 3900}};
  for (size_t f = 1; f < profile.features.size(); ++f) profile.features[f].auc = {none, 0.6, 0.7004};
  const std::string first = to_text(profile), like = to_text(profile, "like"),
                    hate = to_text(profile, "hate");
  EXPECT_THAT(
      first, HasSubstr("\nAUC: of click, by the value of the feature alone; there are 3 labels (--label)\n"));
  EXPECT_THAT(first, HasSubstr("  user.tab (id)        5.0 %        12   0.600  3 in 50.0 %\n"));
  EXPECT_THAT(like, HasSubstr("\nAUC: of like, "));
  EXPECT_THAT(like, HasSubstr("  user.tab (id)        5.0 %        12   0.700  3 in 50.0 %\n"));
  EXPECT_THAT(
      hate,
      HasSubstr("\nno AUC of hate: found 99 positive candidates and 3,901 others, expected 100 of each\n"));
  EXPECT_THAT(hate, HasSubstr("  user.tab (id)        5.0 %        12    -  3 in 50.0 %\n"));
  EXPECT_THAT(hate, Not(HasSubstr("~-")));
  profile.labels.resize(1);  // none has enough
  EXPECT_THAT(to_text(profile), HasSubstr("\nno AUC of hate: "));
  profile.labels.clear();
  for (auto& feature : profile.features) feature.auc.clear();
  EXPECT_THAT(to_text(profile), Not(HasSubstr(" of ,")));
}

TEST(ProfileText, NamesWhatGivesALabelAway) {
  DatasetProfile profile = made_up();
  profile.giveaways = {{FeatureSide::candidate, "watch_s", "click", 0.9981},
                       {FeatureSide::user, "bot", "click", 0.95}};
  EXPECT_THAT(
      to_text(profile),
      HasSubstr(
          "candidate.watch_s alone has an AUC of 0.998 of click: is it known before click is? If not, leave "
          "it out\n"
          "user.bot alone has an AUC of 0.950 of click: is it known before click is? If not, leave it out\n"
          "no day is unlike"));
}

TEST(ProfileText, OneDayHasNoOthers) {
  DatasetProfile profile = made_up();
  profile.compared = 1;
  EXPECT_THAT(to_text(profile),
              testing::EndsWith("\ndays are not compared: that takes two of 100 users each\n"));
  profile.days.pop_back();
  EXPECT_THAT(to_text(profile), testing::AllOf(HasSubstr("features of 1 day, "), Not(HasSubstr("unlike")),
                                               Not(HasSubstr("compared"))));
}

}  // namespace
}  // namespace lime
