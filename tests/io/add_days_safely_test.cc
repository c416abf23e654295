// What adding days must not break: another schema, two at a time, a kill at any moment, runs that read
// meanwhile.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <optional>

#include "io/inspect.h"
#include "io/reading_order.h"
#include "io/user_index.h"
#include "tests/io/daily_log.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

class AddDaysSafely : public testing::Test {
 protected:
  std::string data(const std::string& name = "data") const { return temp_.file(name); }
  TempDirectory temp_;
};

TEST_F(AddDaysSafely, TheSchemaMustBeTheSame) {
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

TEST_F(AddDaysSafely, OneAtATime) {
  const RandomLog log = daily_log(11);
  write_log(between(log, "", days_of(log)[2]), data(), small_writer(2));
  auto options = adding_writer();
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
TEST_F(AddDaysSafely, KilledAtAnyMomentItIsTheOldDatasetOrTheNewOne) {
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
      auto options = adding_writer();
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

// What a report of progress throws, an interruption for one, gives up what is made or added.
TEST_F(AddDaysSafely, GivenUpAtAnyReportOfProgressItLeavesNothing) {
  const RandomLog log = daily_log(12);
  const auto days = days_of(log);
  const RandomLog rest = between(log, days[3], "");
  write_log(between(log, "", days[2]), data(), small_writer(2));
  const auto before = files_of(data());
  std::vector<std::string> phases;
  const auto given_up = [&](WriterOptions options, const RandomLog& rows, const std::string& target,
                            size_t moment) {
    phases.clear();
    options.progress = [&](const std::string& phase, double) {
      phases.push_back(phase);
      if (phases.size() == moment) throw std::runtime_error("given up");
    };
    try {
      write_log(rows, target, options);
    } catch (const std::runtime_error&) {
      return true;
    }
    return false;
  };
  size_t moment = 1;
  for (; given_up(small_writer(2), rest, data("new"), moment); ++moment)
    EXPECT_EQ(std::distance(fs::directory_iterator(temp_.path()), fs::directory_iterator()), 1);
  EXPECT_GT(moment, 6u);  // sorts, events, days
  EXPECT_THAT(phases, testing::IsSupersetOf({"sort", "events", "days"}));
  for (moment = 1; given_up(adding_writer(), rest, data(), moment); ++moment)
    EXPECT_EQ(files_of(data()), before);
  EXPECT_GT(moment, 6u);
  EXPECT_FALSE(fs::exists(data() + "/added-0002"));
}

TEST_F(AddDaysSafely, WhatIsNotInTheDescriptionIsNotThere) {
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
  auto options = adding_writer();
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

TEST_F(AddDaysSafely, ARunGoesOnWithTheDatasetThatItHasRead) {
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

TEST_F(AddDaysSafely, ABrokenIndexIsNamed) {
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
  write_file(dataset.index_path(), whole);
  std::vector<UserEntry> users;
  for (UserIndexReader reader(dataset.index_path(), dataset.users()); reader.next();)
    users.push_back(reader.entry());
  for (int64_t UserEntry::*member : {&UserEntry::id, &UserEntry::part, &UserEntry::row, &UserEntry::events,
                                     &UserEntry::last_ms, &UserEntry::before_last}) {
    UserIndexFile file(dataset.index_path(), {});
    for (const UserEntry& user : users) {
      UserEntry entry = user;
      entry.*member += user == users.back();
      file.add(entry);
    }
    file.close();
    EXPECT_THAT(user_error([&] { inspect(dataset, true); }),
                HasSubstr(str("index.h5: user ", users.back().id, ": is not what events and days say")));
  }
  fs::remove(dataset.index_path());
  fs::copy_file(dataset.events_path(0), dataset.index_path());
  EXPECT_THAT(refused(), HasSubstr("found 'events', expected 'index'"));
}

}  // namespace
}  // namespace lime
