// Days added to a dataset: the same histories and batches as of all days imported at once, whatever came
// before.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "io/inspect.h"
#include "tests/io/daily_log.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class AddDays : public testing::Test {
 protected:
  std::string data(const std::string& name = "data") const { return temp_.file(name); }
  TempDirectory temp_;
};

TEST_F(AddDays, BatchesAreThoseOfAllDaysAtOnce) {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    const RandomLog log = daily_log(seed, seed != 2);
    const auto days = days_of(log);
    ASSERT_EQ(days.size(), 5u);
    const Dataset whole = write_log(log, data(str("whole", seed)), small_writer(1));
    const auto expected = batches_of(whole), frozen = batches_of(whole, HistoryMode::frozen);
    int split = 0;
    for (const auto& ends : std::vector<std::vector<std::string>>{
             {days[0], days[1], days[2], days[3], ""}, {days[3], ""}, {days[0], days[2], ""}}) {
      const Dataset grown = grow(log, data(str("grown", seed, split++)), ends, 1);
      EXPECT_EQ(grown.imports().size(), ends.size());
      EXPECT_EQ(grown.users(), whole.users());
      EXPECT_EQ(grown.events(), whole.events());
      expect_same(expected, batches_of(grown));
      expect_same(frozen, batches_of(grown, HistoryMode::frozen));
      EXPECT_THAT(inspect(grown, true), HasSubstr("verified"));
      if (HasFailure()) FAIL() << "seed " << seed << ", split " << split - 1;
    }
  }
}

TEST_F(AddDays, UsersKeepTheirPartAndRequestsTheirHistories) {
  const RandomLog log = daily_log(4);
  const auto days = days_of(log);
  const auto whole = dump(write_log(log, data("whole"), small_writer(3)));
  const Dataset grown = grow(log, data(), {days[0], days[1], days[3], ""}, 3);
  const auto rows = dump(grown);
  expect_same_rows(rows, whole);
  EXPECT_GT(rows.parts.size(), dump(grown.as_of(1)).parts.size());
  for (int64_t imports = 1; imports < 4; ++imports)
    for (const auto& [user, part] : dump(grown.as_of(imports)).parts) EXPECT_EQ(rows.parts.at(user), part);
  int64_t least = 1 << 30, most = 0;
  for (int64_t p = 0; p < 3; ++p) {
    int64_t load = grown.part_info(p).events;
    for (const auto& day : grown.days()) load += day.part_requests[static_cast<size_t>(p)];
    least = std::min(least, load), most = std::max(most, load);
  }
  EXPECT_LT(static_cast<double>(most), 1.5 * static_cast<double>(least));
}

TEST_F(AddDays, NewUsersGoToTheLightestPart) {
  RandomLog log = daily_log(5);
  const auto request = log.requests[0];
  log.events.clear(), log.users.clear(), log.items.clear();
  log.requests.clear();
  const auto shown = [&](int64_t user, const std::string& day) {
    log.requests.push_back(request);
    log.requests.back().user = user;
    log.requests.back().day = day;
  };
  for (int i = 0; i < 5; ++i) shown(1, "2022-04-27");
  shown(2, "2022-04-27");
  write_log(log, data(), small_writer(2));
  const auto before = dump(Dataset::open(data())).parts;
  ASSERT_NE(before.at(1), before.at(2));
  log.requests.clear();
  shown(3, "2022-04-28"), shown(3, "2022-04-28"), shown(4, "2022-04-28"), shown(2, "2022-04-28");
  add(log, data());
  const auto after = dump(Dataset::open(data())).parts;
  EXPECT_EQ(after.at(3), before.at(2));  // 5 against 2
  EXPECT_EQ(after.at(4), before.at(2));  // 5 against 4
}

TEST_F(AddDays, TheSameAgainChangesNothing) {
  const RandomLog log = daily_log(6);
  const auto days = days_of(log);
  grow(log, data(), {days[2], ""}, 2);
  const auto before = files_of(data());
  for (const std::string& first : {std::string(), days[3], days[4]}) {
    const RandomLog again = between(log, first, "");
    const AddedRows added = add(again, data());
    EXPECT_FALSE(added.any());
    // Rows of the days before the first one of requests are of no day that the dataset has.
    EXPECT_EQ(added.known_events + added.late_events, static_cast<int64_t>(again.events.size()));
    EXPECT_EQ(added.known_requests, static_cast<int64_t>(again.requests.size()));
    EXPECT_EQ(added.late_requests, 0);
    EXPECT_EQ(files_of(data()), before);
  }
  EXPECT_FALSE(add(between(log, "9999-01-01", ""), data()).any());  // no rows at all, but of users and items
  EXPECT_EQ(files_of(data()), before);
}

TEST_F(AddDays, EventsWithoutADayAreKnownByTheirTime) {
  const RandomLog log = daily_log(7, false);
  const auto days = days_of(log);
  grow(log, data(), {days[3], ""}, 2);
  const AddedRows added = add(log, data());
  EXPECT_FALSE(added.any());
  EXPECT_EQ(added.known_events, static_cast<int64_t>(log.events.size()));
  EXPECT_EQ(added.late_events, 0);
}

TEST_F(AddDays, OneWindowOfTheLogAddsItsNewDays) {
  const RandomLog log = daily_log(8);
  const auto days = days_of(log);
  const Dataset whole = write_log(log, data("whole"), small_writer(1));
  write_log(between(log, "", days[1]), data(), small_writer(1));
  const RandomLog window = between(log, days[1], ""), old = between(log, days[1], days[1]);
  const AddedRows added = add(window, data());
  EXPECT_THAT(added.days, ElementsAre(days[2], days[3], days[4]));
  EXPECT_EQ(added.known_events, static_cast<int64_t>(old.events.size()));
  EXPECT_EQ(added.known_requests, static_cast<int64_t>(old.requests.size()));
  EXPECT_EQ(added.requests + added.known_requests, static_cast<int64_t>(window.requests.size()));
  EXPECT_EQ(added.late_events + added.late_requests, 0);
  expect_same(batches_of(whole), batches_of(Dataset::open(data())));
}

// One user's rows, in words.
class SmallLog {
 public:
  SmallLog() : log_(make_random_log(1, {4, 5, 5, 1})) {
    event_ = log_.events[0], request_ = log_.requests[0];
    log_.events.clear(), log_.requests.clear(), log_.users.clear(), log_.items.clear();
  }
  SmallLog& event(int64_t user, int64_t time, int64_t item, const std::string& day = "") {
    log_.events.push_back(event_);
    auto& row = log_.events.back();
    row.user = user, row.time_ms = time, row.item = item, row.day = day;
    return *this;
  }
  SmallLog& request(int64_t user, int64_t time, const std::string& day) {
    log_.requests.push_back(request_);
    auto& row = log_.requests.back();
    row.user = user, row.time_ms = time, row.day = day;
    return *this;
  }
  SmallLog& user(int64_t id, int64_t age) { return log_.users[id] = {{age}, {{}}, {0.0f}}, *this; }
  // An odd one has no price.
  SmallLog& item(int64_t id, int64_t author) {
    const float price = id % 2 == 0 ? 0.5f : missing_number;
    return log_.items[id] = {{author}, {{1, 2}}, {price}}, *this;
  }
  RandomLog log_;

 private:
  EventRow event_;
  RequestRow request_;
};

std::vector<int64_t> items_of(const std::vector<DumpedEvent>& events) {
  std::vector<int64_t> items;
  for (const auto& event : events) items.push_back(event.item);
  return items;
}

TEST_F(AddDays, HistoriesEndStrictlyBeforeAlsoAtTheBorder) {
  write_log(SmallLog()
                .event(1, 100, 11, "1970-01-01")
                .event(1, 200, 12, "1970-01-01")
                .event(1, 200, -1, "1970-01-01")
                .event(2, 150, 21, "1970-01-01")
                .request(1, 150, "1970-01-01")
                .request(3, 300, "1970-01-01")
                .log_,
            data(), small_writer(1));
  const AddedRows added = add(SmallLog()
                                  .event(1, 200, 13, "1970-01-02")
                                  .event(1, 201, 14, "1970-01-02")
                                  .event(3, 300, 31, "1970-01-02")
                                  .request(1, 200, "1970-01-02")
                                  .request(1, 201, "1970-01-02")
                                  .request(3, 300, "1970-01-02")
                                  .request(3, 301, "1970-01-02")
                                  .request(4, 1, "1970-01-02")
                                  .log_,
                              data());
  EXPECT_EQ(added.users, 1);
  EXPECT_EQ(added.events, 3);
  EXPECT_EQ(added.requests, 5);
  const auto rows = dump(Dataset::open(data()));
  EXPECT_THAT(items_of(rows.request(1, 150).history), ElementsAre(11));
  EXPECT_THAT(items_of(rows.request(1, 200).history), ElementsAre(11));
  EXPECT_THAT(items_of(rows.request(1, 201).history), ElementsAre(11, 12, -1, 13));
  EXPECT_THAT(items_of(rows.request(1, 201).later), ElementsAre(14));
  EXPECT_THAT(items_of(rows.request(3, 300).history), ElementsAre());
  EXPECT_THAT(items_of(rows.request(3, 301).history), ElementsAre(31));
  EXPECT_THAT(items_of(rows.request(4, 1).history), ElementsAre());
  EXPECT_THAT(items_of(rows.events.at(2)), ElementsAre(21));
  EXPECT_THAT(inspect(Dataset::open(data()), true), HasSubstr("verified"));
}

TEST_F(AddDays, RequestsOfOneTimeAreInOrderOfTheirUsersWhoeverCameFirst) {
  write_log(SmallLog().request(5, 100, "1970-01-01").log_, data(), small_writer(1));
  add(SmallLog().request(5, 300, "1970-01-02").request(2, 300, "1970-01-02").log_, data());
  const auto whole = SmallLog()
                         .request(5, 100, "1970-01-01")
                         .request(5, 300, "1970-01-02")
                         .request(2, 300, "1970-01-02")
                         .log_;
  expect_same(batches_of(write_log(whole, data("whole"), small_writer(1))),
              batches_of(Dataset::open(data())));
}

TEST_F(AddDays, LateRowsAreLeftOutAndCounted) {
  write_log(SmallLog()
                .event(1, 500, 11, "1970-01-03")
                .request(2, 600, "1970-01-03")
                .request(1, 100, "1970-01-01")
                .event(7, 900, 71)
                .log_,
            data(), small_writer(2));
  const AddedRows added =
      add(SmallLog()
              .event(1, 499, 12, "1970-01-04")  // older than the user's event
              .event(2, 599, 21, "1970-01-04")  // than the user's request, which would see it
              .request(2, 599, "1970-01-04")    // likewise
              .request(1, 700, "1970-01-02")    // a day that is not there, before the last
              .event(1, 700, 13, "1970-01-02")  // of that row
              .event(1, 700, 14, "1970-01-03")  // a day that is there
              .request(1, 700, "1970-01-03")    // a day that is there
              .event(7, 900, 72)                // without a day: not after the latest of these
              .event(7, 901, 73)
              .event(2, 600, 22, "1970-01-04")
              .log_,
          data());
  EXPECT_EQ(added.known_events, 2);
  EXPECT_EQ(added.known_requests, 1);
  EXPECT_EQ(added.late_events, 3);
  EXPECT_EQ(added.late_requests, 2);
  EXPECT_EQ(added.events, 2);
  EXPECT_EQ(added.requests, 0);
  EXPECT_THAT(added.days, ElementsAre());  // its requests are all late
  const auto rows = dump(Dataset::open(data()));
  EXPECT_THAT(items_of(rows.events.at(1)), ElementsAre(11));
  EXPECT_THAT(items_of(rows.events.at(2)), ElementsAre(22));
  EXPECT_THAT(items_of(rows.events.at(7)), ElementsAre(71, 73));
  EXPECT_EQ(rows.requests.size(), 2u);
  EXPECT_THAT(inspect(Dataset::open(data()), true), HasSubstr("verified"));
  // Nor are they in any later import, also where one came between that had no events without a day.
  EXPECT_TRUE(add(SmallLog().request(8, 1000, "1970-01-05").log_, data()).any());
  const AddedRows again = add(SmallLog().event(7, 901, 73).event(1, 499, 12, "1970-01-06").log_, data());
  EXPECT_FALSE(again.any());
  EXPECT_EQ(again.known_events, 1);
  EXPECT_EQ(again.late_events, 1);
}

TEST_F(AddDays, FeaturesAreReplacedByIdAndWhoHasTheDatasetOpenKeepsTheOldOnes) {
  write_log(SmallLog()
                .request(1, 100, "1970-01-01")
                .request(2, 100, "1970-01-01")
                .user(1, 10)
                .item(5, 50)
                .item(7, 70)
                .log_,
            data(), small_writer(1));
  const Dataset before = Dataset::open(data());
  const auto batches = batches_of(before);
  const auto rows_before = dump(before);
  const auto nothing = SmallLog().user(1, 10).user(9, 90).item(5, 50).log_;
  EXPECT_FALSE(add(nothing, data()).any());  // the same features, and those of a user without rows
  const AddedRows added = add(SmallLog()
                                  .request(3, 200, "1970-01-02")
                                  .user(1, 11)
                                  .user(2, 20)
                                  .user(3, 30)
                                  .item(5, 50)
                                  .item(6, 60)
                                  .item(7, 71)
                                  .log_,
                              data());
  EXPECT_EQ(added.users, 1);
  EXPECT_EQ(added.changed_users, 2);
  EXPECT_EQ(added.new_items, 1);
  EXPECT_EQ(added.changed_items, 1);
  const auto rows = dump(Dataset::open(data()));
  const auto age = [&](int64_t user) { return rows.users.at(user).ids.at("age_group"); };
  EXPECT_THAT((std::vector{age(1), age(2), age(3)}), ElementsAre(11, 20, 30));
  EXPECT_EQ(rows.items.size(), 3u);
  EXPECT_EQ(rows.items.at(5).ids.at("author"), 50);
  EXPECT_EQ(rows.items.at(6).ids.at("author"), 60);
  EXPECT_EQ(rows.items.at(7).ids.at("author"), 71);
  EXPECT_THAT(rows.items.at(7).lists.at("topics"), ElementsAre(1, 2));
  const auto at_once = SmallLog()
                           .request(1, 100, "1970-01-01")
                           .request(2, 100, "1970-01-01")
                           .request(3, 200, "1970-01-02")
                           .user(1, 11)
                           .user(2, 20)
                           .user(3, 30)
                           .item(5, 50)
                           .item(6, 60)
                           .item(7, 71)
                           .log_;
  expect_same(batches_of(write_log(at_once, data("at_once"), small_writer(1))),
              batches_of(Dataset::open(data())));
  expect_same(batches, batches_of(before));
  expect_same_rows(rows_before, dump(Dataset::open(data()).as_of(1)));
  // The next import knows the features of now.
  EXPECT_FALSE(add(SmallLog().user(1, 11).user(2, 20).item(7, 71).log_, data()).any());
  EXPECT_EQ(add(SmallLog().user(1, 10).log_, data()).changed_users, 1);
  EXPECT_THAT(inspect(Dataset::open(data()), true), HasSubstr("verified"));
}

TEST_F(AddDays, ColumnsMayStandInAnotherOrder) {
  const RandomLog log = daily_log(10);
  const auto days = days_of(log);
  const Dataset whole = write_log(log, data("whole"), small_writer(1));
  write_log(between(log, "", days[2]), data(), small_writer(1));
  RandomLog rest = between(log, days[3], "");
  std::reverse(rest.schema.columns.begin(), rest.schema.columns.end());  // one column of a kind and group
  std::swap(rest.schema.labels[0], rest.schema.labels[1]);
  for (auto& request : rest.requests)
    for (auto& candidate : request.candidates) std::swap(candidate.labels[0], candidate.labels[1]);
  add(rest, data());
  expect_same(batches_of(whole), batches_of(Dataset::open(data())));
}

}  // namespace
}  // namespace lime
