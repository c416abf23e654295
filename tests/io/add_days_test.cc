// Days added to a dataset: the same histories and batches as of all days imported at once, whatever came
// before.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "io/import_values.h"
#include "io/inspect.h"
#include "io/reading_order.h"
#include "tests/io/import_dump.h"
#include "tests/io/random_log.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr int64_t zone_ms = 8 * 3'600'000;

// A random log of which every row is of the day of its time, days in order; but for some rows at the last
// millisecond of a day, which count for the next one: what is added has the time of what is there then.
RandomLog daily_log(uint64_t seed, bool events_have_days = true) {
  RandomLog log = make_random_log(seed, {40, 900, 400, 5});
  for (auto& request : log.requests) request.day = day_of(request.time_ms, zone_ms);
  for (auto& event : log.events) event.day = day_of(event.time_ms, zone_ms);
  if (events_have_days) {
    for (size_t k = 0; k < 30; ++k) {
      auto& request = log.requests[k];
      const int64_t day = parse_day(request.day);
      const int64_t border = day * 86'400'000 - zone_ms - 1;
      request.time_ms = border;
      for (const int64_t of : {day - 1, day}) {
        auto event = log.events[k];
        event.user = request.user;
        event.time_ms = border;
        event.day = format_day(of);
        log.events.push_back(event);
      }
    }
  }
  const auto by_day = [](const auto& a, const auto& b) { return a.day < b.day; };
  std::stable_sort(log.events.begin(), log.events.end(), by_day);
  std::stable_sort(log.requests.begin(), log.requests.end(), by_day);
  for (size_t k = 0; k < log.requests.size(); ++k) log.requests[k].values.ids[0] = static_cast<int64_t>(k);
  if (!events_have_days)
    for (auto& event : log.events) event.day.clear();
  return log;
}

std::string day_of_event(const EventRow& event) {
  return event.day.empty() ? day_of(event.time_ms, zone_ms) : event.day;
}

std::vector<std::string> days_of(const RandomLog& log) {
  std::vector<std::string> days;
  for (const auto& request : log.requests) days.push_back(request.day);
  std::sort(days.begin(), days.end());
  days.erase(std::unique(days.begin(), days.end()), days.end());
  return days;
}

// The rows of some days, with all rows of users and items. "": from the beginning, to the end.
RandomLog between(const RandomLog& log, const std::string& first, const std::string& last) {
  RandomLog some = log;
  const auto outside = [&](const std::string& day) { return day < first || (!last.empty() && day > last); };
  std::erase_if(some.events, [&](const auto& event) { return outside(day_of_event(event)); });
  std::erase_if(some.requests, [&](const auto& request) { return outside(request.day); });
  return some;
}

AddedRows add(const RandomLog& log, const std::string& directory) {
  auto options = small_writer(1);
  options.add = true;
  DatasetWriter writer(directory, log.schema, options);
  for (const auto& event : log.events) writer.add_event(event);
  for (const auto& request : log.requests) writer.add_request(request);
  for (const auto& [user, row] : log.users) writer.add_user(user, row);
  for (const auto& [item, row] : log.items) writer.add_item(item, row);
  writer.finish();
  return writer.added();
}

// Days up to the first of `ends`, then from there to the next one, and so on; "" ends with the last day.
Dataset grow(const RandomLog& log, const std::string& directory, const std::vector<std::string>& ends,
             int64_t parts) {
  write_log(between(log, "", ends[0]), directory, small_writer(parts));
  for (size_t i = 1; i < ends.size(); ++i) {
    const std::string first = format_day(parse_day(ends[i - 1]) + 1);
    const AddedRows added = add(between(log, first, ends[i]), directory);
    EXPECT_EQ(added.known_events + added.known_requests + added.late_events + added.late_requests, 0);
  }
  return Dataset::open(directory);
}

void expect_same(const FeatureColumns& a, const FeatureColumns& b) {
  EXPECT_EQ(a.real, b.real);
  ASSERT_EQ(a.id_columns.size(), b.id_columns.size());
  for (size_t c = 0; c < a.id_columns.size(); ++c) {
    EXPECT_EQ(a.id_columns[c].ids, b.id_columns[c].ids);
    EXPECT_EQ(a.id_columns[c].offsets, b.id_columns[c].offsets);
  }
}

void expect_same(const std::vector<Batch>& a, const std::vector<Batch>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].next, b[i].next);
    ASSERT_EQ(a[i].micro.size(), b[i].micro.size());
    for (size_t m = 0; m < a[i].micro.size(); ++m) {
      const MicroBatch &x = a[i].micro[m], &y = b[i].micro[m];
      for (const auto member :
           {&MicroBatch::history_offsets, &MicroBatch::candidate_offsets, &MicroBatch::user_id,
            &MicroBatch::time_ms, &MicroBatch::day, &MicroBatch::part, &MicroBatch::row, &MicroBatch::item})
        ASSERT_EQ(x.*member, y.*member);
      for (const auto member : {&MicroBatch::labels, &MicroBatch::weights, &MicroBatch::metric_weight})
        ASSERT_EQ(x.*member, y.*member);
      for (const auto member : {&MicroBatch::history, &MicroBatch::candidate, &MicroBatch::user})
        expect_same(x.*member, y.*member);
    }
    if (testing::Test::HasFailure()) return;
  }
}

std::vector<Batch> batches_of(const Dataset& dataset, HistoryMode mode = HistoryMode::running) {
  auto options = reader_options(dataset, 1);
  options.history_mode = mode;
  BatchReader reader(dataset, options);
  return read_all(reader);
}

void expect_same_rows(const DumpedDataset& a, const DumpedDataset& b) {
  EXPECT_EQ(a.events, b.events);
  EXPECT_EQ(a.requests, b.requests);
  EXPECT_EQ(a.users, b.users);
  EXPECT_EQ(a.items, b.items);
}

// Every file of a directory and its bytes.
std::map<std::string, std::string> files_of(const std::string& directory) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(directory))
    if (entry.is_regular_file()) files[entry.path().string()] = read_file(entry.path());
  return files;
}

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
  SmallLog& item(int64_t id, int64_t author) { return log_.items[id] = {{author}, {{1, 2}}, {0.5f}}, *this; }
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
  // What came late by itself does not come late again: the same rows are known now, or still late.
  EXPECT_FALSE(add(SmallLog().event(7, 901, 73).event(1, 499, 12, "1970-01-04").log_, data()).any());
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
  EXPECT_EQ(added.changed_items, 2);
  const auto rows = dump(Dataset::open(data()));
  const auto age = [&](int64_t user) { return rows.users.at(user).ids.at("age_group"); };
  EXPECT_THAT((std::vector{age(1), age(2), age(3)}), ElementsAre(11, 20, 30));
  EXPECT_EQ(rows.items.size(), 3u);
  EXPECT_EQ(rows.items.at(5).ids.at("author"), 50);
  EXPECT_EQ(rows.items.at(6).ids.at("author"), 60);
  EXPECT_EQ(rows.items.at(7).ids.at("author"), 71);
  EXPECT_THAT(rows.items.at(7).lists.at("topics"), ElementsAre(1, 2));
  expect_same(batches, batches_of(before));
  expect_same_rows(rows_before, dump(Dataset::open(data()).as_of(1)));
  // The next import knows the features of now.
  EXPECT_FALSE(add(SmallLog().user(1, 11).user(2, 20).item(7, 71).log_, data()).any());
  EXPECT_EQ(add(SmallLog().user(1, 10).log_, data()).changed_users, 1);
  EXPECT_THAT(inspect(Dataset::open(data()), true), HasSubstr("verified"));
}

TEST_F(AddDays, TheSchemaMustBeTheSame) {
  const RandomLog log = daily_log(9);
  const auto days = days_of(log);
  write_log(between(log, "", days[2]), data(), small_writer(2));
  const auto before = files_of(data());
  const auto refused = [&](auto&& change) {
    RandomLog other = between(log, days[3], "");
    change(other.schema);
    const std::string message = user_error([&] { add(other, data()); });
    EXPECT_EQ(files_of(data()), before);
    return message;
  };
  EXPECT_EQ(
      refused([](auto& s) { s.columns[11].kind = ColumnKind::id; }),
      data() +
          ": column 'bid' of group candidate: found kind id, expected kind real, as the dataset that is "
          "added to has it");
  EXPECT_THAT(refused([](auto& s) {
                s.columns.push_back({"device", ColumnGroup::request, ColumnKind::id});
              }),
              HasSubstr("column 'device' of group request: found kind id, expected no such column"));
  EXPECT_THAT(refused([](auto& s) { s.columns.erase(s.columns.begin()); }),
              HasSubstr("column 'age_group' of group user: found none, expected kind id"));
  EXPECT_THAT(refused([](auto& s) {
                s.labels = {"click", "share"};
              }),
              HasSubstr("label 'share': found a label, expected no such column"));
  EXPECT_THAT(refused([](auto& s) { s.weights.pop_back(); }), HasSubstr("weight 'trust': found none"));
  EXPECT_THAT(refused([](auto& s) { s.time_zone = "+00:00"; }),
              HasSubstr("time zone: found +00:00, expected +08:00"));
  EXPECT_THAT(user_error([&] { add(log, data("nowhere")); }), HasSubstr("expected a dataset"));
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

TEST_F(AddDays, OneAtATime) {
  const RandomLog log = daily_log(11);
  write_log(between(log, "", days_of(log)[2]), data(), small_writer(2));
  auto options = small_writer(2);
  options.add = true;
  std::optional<DatasetWriter> first(std::in_place, data(), log.schema, options);
  EXPECT_THAT(user_error([&] { DatasetWriter(data(), log.schema, options); }),
              HasSubstr("another process is adding to it"));
  auto replaces = small_writer(2);
  replaces.overwrite = true;
  EXPECT_THAT(user_error([&] { DatasetWriter(data(), log.schema, replaces); }),
              HasSubstr("another process is adding to it"));
  first.reset();
  EXPECT_EQ(add(log, data()).days.size(), 2u);
}

// Killed at the k-th report of progress, or as it has given its files their name.
TEST_F(AddDays, KilledAtAnyMomentItIsTheOldDatasetOrTheNewOne) {
  const RandomLog log = daily_log(12);
  const auto days = days_of(log);
  const RandomLog rest = between(log, days[3], "");
  const auto whole = dump(write_log(log, data("whole"), small_writer(2)));
  int unfinished = 0;
  for (int moment = 1; moment < 12; ++moment) {
    const std::string target = data(str("data", moment));
    write_log(between(log, "", days[2]), target, small_writer(2));
    const auto before = dump(Dataset::open(target));
    const pid_t process = fork();
    if (process == 0) {
      auto options = small_writer(2);
      options.add = true;
      options.progress = [&, calls = 0](const std::string&, double) mutable {
        if (++calls == moment) kill(getpid(), SIGKILL);
      };
      DatasetWriter writer(target, rest.schema, options);
      for (const auto& event : rest.events) writer.add_event(event);
      for (const auto& request : rest.requests) writer.add_request(request);
      writer.finish();
      _exit(0);
    }
    int status = 0;
    waitpid(process, &status, 0);
    if (!WIFSIGNALED(status)) continue;
    ++unfinished;
    expect_same_rows(dump(Dataset::open(target)), before);
    EXPECT_GT(std::distance(fs::directory_iterator(target), fs::directory_iterator()), 5);
    add(rest, target);
    EXPECT_EQ(std::distance(fs::directory_iterator(target), fs::directory_iterator()), 5);
    expect_same_rows(dump(Dataset::open(target)), whole);
  }
  EXPECT_GT(unfinished, 3);
}

TEST_F(AddDays, WhatIsNotInTheDescriptionIsNotThere) {
  const RandomLog log = daily_log(13);
  const auto days = days_of(log);
  write_log(between(log, "", days[2]), data(), small_writer(2));
  const std::string old_yaml = read_file(data() + "/dataset.yaml"),
                    old_index = read_file(data() + "/index.h5");
  const auto before = dump(Dataset::open(data()));
  add(between(log, days[3], ""), data());
  const std::string new_yaml = read_file(data() + "/dataset.yaml");
  const auto after = dump(Dataset::open(data()));
  EXPECT_FALSE(fs::exists(data() + "/index.h5"));  // the new one is in added-0001
  // Killed before dataset.yaml was replaced: the old dataset, and a folder that the next import removes.
  write_file(data() + "/dataset.yaml", old_yaml);
  write_file(data() + "/index.h5", old_index);
  write_file(data() + "/dataset.yaml.partial", new_yaml.substr(0, 100));
  expect_same_rows(dump(Dataset::open(data())), before);
  std::vector<std::string> notices;
  auto options = small_writer(2);
  options.add = true;
  options.notice = [&](const std::string& line) { notices.push_back(line); };
  { const DatasetWriter writer(data(), log.schema, options); }
  EXPECT_THAT(notices, ElementsAre(AllOf(HasSubstr("removed "), HasSubstr("added-0001"))));
  expect_same_rows(dump(Dataset::open(data())), before);
  add(between(log, days[3], ""), data());
  expect_same_rows(dump(Dataset::open(data())), after);
  // Killed before the old index was removed.
  write_file(data() + "/index.h5", old_index);
  expect_same_rows(dump(Dataset::open(data())), after);
  EXPECT_FALSE(add(log, data()).any());
  EXPECT_FALSE(fs::exists(data() + "/index.h5"));
}

TEST_F(AddDays, ARunGoesOnWithTheDatasetThatItHasRead) {
  const RandomLog log = daily_log(14);
  const auto days = days_of(log);
  const Dataset old = write_log(between(log, "", days[2]), data(), small_writer(2));
  const std::vector<std::string> its_days(days.begin(), days.begin() + 3);
  const ReadingOrder order = reading_order(old, its_days, 8);
  EXPECT_EQ(order.imports, 1);
  add(between(log, days[3], days[3]), data());
  add(between(log, days[4], ""), data());
  const Dataset now = Dataset::open(data());
  EXPECT_NO_THROW(refuse_other_order(order, reading_order(now, its_days, 8), "c"));
  EXPECT_EQ(as_read(now, order, its_days).imports().size(), 1u);
  EXPECT_EQ(as_read(now, order, its_days).days().size(), 3u);
  auto more = its_days;
  more.push_back(days[3]);
  EXPECT_EQ(as_read(now, order, more).imports().size(), 3u);
  EXPECT_EQ(as_read(now, {8, {}, 0}, its_days).imports().size(), 3u);  // an early checkpoint
  EXPECT_EQ(as_read(now, {8, {}, 9}, its_days).imports().size(), 3u);  // of a dataset that was made anew
}

TEST_F(AddDays, ABrokenIndexIsNamed) {
  const RandomLog log = daily_log(15);
  const auto days = days_of(log);
  const Dataset dataset = write_log(between(log, "", days[2]), data(), small_writer(2));
  const std::string whole = read_file(dataset.index_path());
  const auto refused = [&] { return user_error([&] { add(between(log, days[3], ""), data()); }); };
  write_file(dataset.index_path(), whole.substr(0, whole.size() / 2));
  EXPECT_THAT(refused(), HasSubstr(dataset.index_path()));
  EXPECT_THAT(user_error([&] { inspect(dataset, true); }), HasSubstr(dataset.index_path()));
  fs::remove(dataset.index_path());
  EXPECT_THAT(refused(), HasSubstr(dataset.index_path()));
  EXPECT_EQ(Dataset::open(data()).imports().size(), 1u);
  fs::copy_file(dataset.events_path(0), dataset.index_path());
  EXPECT_THAT(refused(), HasSubstr("found 'events', expected 'index'"));
}

}  // namespace
}  // namespace lime
