// What is counted of a dataset's features, and which days are told to be unlike the others.
#include "io/feature_profile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "io/dataset_writer.h"
#include "io/value_counters.h"
#include "runtime/philox.h"
#include "tests/io/random_log.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

using testing::ElementsAre;

TEST(DistinctCounter, IsExactForFewIdsAndNearForMany) {
  DistinctCounter counter;
  int64_t id = 0;
  for (int64_t many : {1, 100, 16383}) {
    for (; id < many; ++id) counter.add(id * 1000), counter.add(0);
    EXPECT_EQ(counter.count(), many);
    EXPECT_TRUE(counter.is_exact());
  }
  for (int64_t many : {16384, 50'000, 1'000'000}) {
    for (; id < many; ++id) counter.add(id * 1000);
    EXPECT_NEAR(static_cast<double>(counter.count()), static_cast<double>(many),
                0.03 * static_cast<double>(many));
    EXPECT_FALSE(counter.is_exact());
  }
  const int64_t found = counter.count();
  for (int64_t again = 0; again < 1000; ++again) counter.add(again * 1000);
  EXPECT_EQ(counter.count(), found);
}

TEST(FrequentIds, AreExactForFewAndFoundAmongMany) {
  FrequentIds few;
  for (int64_t i = 0; i < 3000; ++i) few.add(i % 1000), few.add(7);
  EXPECT_EQ(few.most_frequent().id, 7);
  EXPECT_EQ(few.most_frequent().times, 3003);
  FrequentIds many;  // one in twenty is 5, the others come once
  for (int64_t i = 0; i < 200'000; ++i) many.add(i % 20 == 0 ? 5 : 1'000'000 + i);
  EXPECT_EQ(many.most_frequent().id, 5);
  EXPECT_LE(many.most_frequent().times, 10'000);
  EXPECT_GE(many.most_frequent().times, 10'000 - 200'000 / 1024);
  EXPECT_EQ(FrequentIds().most_frequent().id, -1);
  FrequentIds ties;
  for (const int64_t id : {9, 4, 8, 4, 9, 8, 1}) ties.add(id);
  EXPECT_EQ(ties.most_frequent().id, 4);
}

const FeatureProfile& feature(const DatasetProfile& profile, const std::string& name) {
  for (const auto& each : profile.features)
    if (each.name == name) return each;
  throw Error(name);
}

// Counted by hand.
struct Counted {
  int64_t rows = 0, missing = 0, values = 0;
  std::map<int64_t, int64_t> times;
  void add(const std::vector<int64_t>& ids) {
    ++rows;
    int64_t here = 0;
    for (const int64_t id : ids)
      if (id >= 0) ++here, ++times[id];
    values += here;
    missing += here == 0;
  }
  void expect(const FeatureProfile& found) const {
    SCOPED_TRACE(found.name);
    EXPECT_EQ(found.rows, rows);
    EXPECT_EQ(found.missing, missing);
    EXPECT_EQ(found.values, values);
    EXPECT_EQ(found.distinct, static_cast<int64_t>(times.size()));
    int64_t most = 0;
    for (const auto& [id, n] : times) most = std::max(most, n);
    EXPECT_EQ(found.times, most);
    EXPECT_EQ(times.at(found.most_frequent), most);
  }
};

TEST(FeatureProfile, CountsWhatAModelWouldRead) {
  TempDirectory directory;
  const RandomLog log = make_random_log(3);
  const Dataset dataset = write_log(log, directory.file("data"), small_writer(3));
  std::vector<std::string> days;
  for (const auto& day : dataset.days()) days.push_back(day.day);
  const DatasetProfile found = profile_features(dataset, days);

  Counted users, interests, items, topics, tags, events;
  const auto position = [&](const std::string& name, ColumnGroup group, ColumnKind kind) {
    size_t place = 0;
    for (const auto& column : log.schema.columns) {
      if (column.group != group || column.kind != kind) continue;
      if (column.name == name) return place;
      ++place;
    }
    throw Error(name);
  };
  const auto list_of = [&](const std::map<int64_t, RowValues>& table, int64_t id, size_t place) {
    const auto row = table.find(id);
    return row == table.end() ? std::vector<int64_t>() : row->second.lists.at(place);
  };
  int64_t candidates = 0, read_events = 0;
  for (const auto& request : log.requests) {
    users.add({request.user});
    interests.add(
        list_of(log.users, request.user, position("interests", ColumnGroup::user, ColumnKind::ids)));
    for (const auto& candidate : request.candidates) {
      ++candidates;
      items.add({candidate.item});
      topics.add(list_of(log.items, candidate.item, position("topics", ColumnGroup::item, ColumnKind::ids)));
    }
    auto history = history_of(log, request.user, request.time_ms);
    if (static_cast<int64_t>(history.size()) > profiled_events)
      history.erase(history.begin(), history.end() - profiled_events);
    for (const auto* event : history) {
      ++read_events;
      events.add({event->item});
      tags.add(event->values.lists.at(position("tags", ColumnGroup::event, ColumnKind::ids)));
    }
  }
  EXPECT_EQ(found.requests, static_cast<int64_t>(log.requests.size()));
  EXPECT_EQ(found.candidates, candidates);
  EXPECT_EQ(found.events, read_events);
  users.expect(feature(found, "user.user"));
  interests.expect(feature(found, "user.interests"));
  items.expect(feature(found, "candidate.item"));
  topics.expect(feature(found, "candidate.topics"));
  events.expect(feature(found, "history.item"));
  tags.expect(feature(found, "history.tags"));
  EXPECT_EQ(feature(found, "user.score").kind, ColumnKind::real);
  std::set<std::string> names;
  for (const auto& each : found.features) EXPECT_TRUE(names.insert(each.name).second) << each.name;
  EXPECT_EQ(names.size(), full_spec().history.size() - 1 /* age */ + full_spec().candidate.size() +
                              full_spec().user.size());
}

// A log of four days, two requests a day of each user.
class UnlikeDays : public testing::Test {
 protected:
  // What request k of a day has: hour, tab and delay.
  template <typename Values>
  DatasetProfile profile(Values&& values_of) {
    DatasetSchema schema;
    schema.name = "days", schema.source = "test";
    schema.columns = {{"hour", ColumnGroup::request, ColumnKind::id},
                      {"tab", ColumnGroup::request, ColumnKind::id},
                      {"delay", ColumnGroup::request, ColumnKind::real}};
    schema.labels = {"click"};
    WriterOptions options;
    options.parts = 2;
    options.overwrite = true;
    DatasetWriter writer(directory_.file("data"), schema, options);
    for (int64_t day = 0; day < 4; ++day)
      for (int64_t k = 0; k < requests_; ++k) {
        RequestRow row;
        row.user = k / 2;
        row.time_ms = 1704067200000 + day * 86400000 + k * 1000;
        row.day = str("2024-01-0", day + 1);
        row.values = values_of(day, k);
        row.candidates.resize(1);
        row.candidates[0].item = k % 10;
        row.candidates[0].labels = {1};
        writer.add_request(row);
      }
    const Dataset dataset = writer.finish();
    return profile_features(dataset, {"2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04"});
  }
  static std::vector<std::string> unlike(const DatasetProfile& found) {
    std::vector<std::string> days;
    for (const auto& day : found.unlike) days.push_back(day.day + " " + day.feature);
    return days;
  }
  static RowValues usual(int64_t day, int64_t k) {
    const Philox random(1, stream_of("unlike days"));
    const auto draw = [&](uint64_t n, uint64_t column) {
      return random.below(n, static_cast<uint64_t>(day * 1000 + k) * 3 + column);
    };
    RowValues values;
    values.ids = {static_cast<int64_t>(draw(24, 0)), static_cast<int64_t>(draw(3, 1))};
    values.reals = {static_cast<float>(draw(500, 2))};
    return values;
  }
  TempDirectory directory_;
  int64_t requests_ = 300;  // a day
};

TEST_F(UnlikeDays, ThereAreNoneWhereDaysAreAlike) {
  const auto found = profile(usual);
  EXPECT_THAT(unlike(found), ElementsAre());
  EXPECT_EQ(found.days.size(), 4u);
  EXPECT_EQ(found.compared, 4);
}

TEST_F(UnlikeDays, AColumnThatBrokeOrChangedIsTold) {
  const auto found = profile([](int64_t day, int64_t k) {
    RowValues values = usual(day, k);
    if (day == 2 && k % 5 < 2) values.ids[0] = -1;               // two hours of five are missing
    if (day == 1 && k % 10 != 0) values.ids[1] = 77;             // another tab
    if (day == 3) values.reals[0] = 1000 * values.reals[0] + 1;  // seconds became milliseconds
    return values;
  });
  EXPECT_THAT(unlike(found),
              ElementsAre("2024-01-02 user.tab", "2024-01-04 user.delay", "2024-01-03 user.hour"));
  const UnlikeDay& tab = found.unlike[0];
  const UnlikeDay& hour = found.unlike[2];
  EXPECT_NEAR(tab.distance, 0.9, 0.06);
  EXPECT_EQ(tab.missing, 0);
  EXPECT_NEAR(hour.missing, 0.4, 1e-9);
  EXPECT_EQ(hour.usually_missing, 0);
  EXPECT_NEAR(hour.distance, 0.4, 0.15);
  EXPECT_EQ(feature(found, "user.hour").missing, 120);
}

TEST_F(UnlikeDays, RowsOfFewUsersTellLittle) {
  // Each user has a place of its own, another one every day: as 150 draws of 200 places, and not as 300 rows.
  const Philox random(1, stream_of("places"));
  const auto found = profile([&](int64_t day, int64_t k) {
    RowValues values = usual(day, k);
    values.ids[0] = static_cast<int64_t>(random.below(200, static_cast<uint64_t>(day * 1000 + k / 2)));
    return values;
  });
  EXPECT_THAT(unlike(found), ElementsAre());
}

TEST_F(UnlikeDays, ADayOfAlmostNobodyIsNotTold) {
  const auto changed = [](int64_t day, int64_t k) {
    RowValues values = usual(day, k);
    if (day == 1) values.ids[1] = 77;
    return values;
  };
  EXPECT_THAT(unlike(profile(changed)), ElementsAre("2024-01-02 user.tab"));
  requests_ = 198;  // of 99 users
  const auto few = profile(changed);
  EXPECT_THAT(unlike(few), ElementsAre());
  EXPECT_EQ(few.compared, 0);
}

TEST_F(UnlikeDays, AGapIsToldHoweverSmallItsDistance) {
  const auto found = profile([](int64_t day, int64_t k) {
    RowValues values = usual(day, k);
    if (day == 0 && k % 15 == 0) values.reals[0] = missing_number;
    return values;
  });
  ASSERT_THAT(unlike(found), ElementsAre("2024-01-01 user.delay"));
  EXPECT_LT(found.unlike[0].distance, 0.1);
  EXPECT_EQ(feature(found, "user.delay").missing, 20);
}

TEST_F(UnlikeDays, PercentilesAreThoseOfTheNumbers) {
  const auto found = profile([](int64_t day, int64_t k) {
    RowValues values = usual(day, k);
    const int64_t n = day * 300 + k;                           // 0 .. 1199
    values.reals[0] = n < 360 ? 0.0f : static_cast<float>(n);  // 30 % are 0
    return values;
  });
  const auto& percentiles = feature(found, "user.delay").percentiles;
  ASSERT_EQ(percentiles.size(), 5u);
  for (const size_t low : {0, 1}) {
    EXPECT_TRUE(percentiles[low].less);  // than the least of those above 0
    EXPECT_EQ(percentiles[low].value, 360);
  }
  const double expected[] = {600, 900, 1188};
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_FALSE(percentiles[2 + i].less);
    EXPECT_NEAR(percentiles[2 + i].value, expected[i], 24);
  }
}

}  // namespace
}  // namespace lime
