// What `lime inspect --features` says.
#include "launch/profile_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

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
  profile.features = {of_ids("history.item", 0, 123456, 9, 1), of_ids("user.tab", 100, 12, 3, 950),
                      of_ids("user.vip", 1500, 1, 1, 500), of_ids("user.app", 0, 1, 4, 2000),
                      of_ids("user.none", 2000, 0, -1, 0)};
  profile.features[0].distinct_is_exact = false;
  FeatureProfile tags = of_ids("user.tags", 0, 7, 5, 1000);
  tags.kind = ColumnKind::ids, tags.values = 5000;
  FeatureProfile price = of_ids("user.price", 20, 0, -1, 0);
  price.kind = ColumnKind::real;
  price.percentiles = {{1, true}, {1.5f, false}, {20, false}, {300, false}, {1e7f, false}};
  profile.features.push_back(tags);
  profile.features.push_back(price);
  return profile;
}

TEST(ProfileText, HasALineAFeature) {
  EXPECT_EQ(to_text(made_up()),
            "features of 2 days, 2,000 requests, 4,000 candidates; of histories the last 16 events\n"
            "                     missing  distinct  most frequent id, or numbers that so many of a hundred "
            "are below\n"
            "  history.item (id)    0.0 %  ~123,456\n"
            "  user.tab (id)        5.0 %        12  3 in 50.0 %\n"
            "  user.vip (id)       75.0 %         1  1 or missing\n"
            "  user.app (id)        0.0 %         1  always 4\n"
            "  user.none (id)     100.0 %         0  no id\n"
            "  user.tags (ids)      0.0 %         7  5 in 20.0 %; 2.5 a row\n"
            "  user.price (real)    1.0 %            P1 <1, P25 1.5, P50 20, P75 300, P99 1e+07\n"
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
  EXPECT_THAT(to_text(profile, 1), testing::EndsWith("2024-01-02 user.tab  90.0 %\n  and 1 more\n"));
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
