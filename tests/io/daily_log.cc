#include "tests/io/daily_log.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "io/import_values.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

constexpr int64_t zone_ms = 8 * 3'600'000;

std::string day_of_event(const EventRow& event) {
  return event.day.empty() ? day_of(event.time_ms, zone_ms) : event.day;
}

void expect_same(const FeatureColumns& a, const FeatureColumns& b) {
  EXPECT_EQ(a.real, b.real);
  ASSERT_EQ(a.id_columns.size(), b.id_columns.size());
  for (size_t c = 0; c < a.id_columns.size(); ++c) {
    EXPECT_EQ(a.id_columns[c].ids, b.id_columns[c].ids);
    EXPECT_EQ(a.id_columns[c].offsets, b.id_columns[c].offsets);
  }
}

}  // namespace

RandomLog daily_log(uint64_t seed, bool events_have_days) {
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

std::vector<std::string> days_of(const RandomLog& log) {
  std::vector<std::string> days;
  for (const auto& request : log.requests) days.push_back(request.day);
  std::sort(days.begin(), days.end());
  days.erase(std::unique(days.begin(), days.end()), days.end());
  return days;
}

RandomLog between(const RandomLog& log, const std::string& first, const std::string& last) {
  RandomLog some = log;
  const auto outside = [&](const std::string& day) { return day < first || (!last.empty() && day > last); };
  std::erase_if(some.events, [&](const auto& event) { return outside(day_of_event(event)); });
  std::erase_if(some.requests, [&](const auto& request) { return outside(request.day); });
  return some;
}

WriterOptions adding_writer() {
  auto options = small_writer(1);
  options.add = true;
  return options;
}

AddedRows add(const RandomLog& log, const std::string& directory) {
  DatasetWriter writer(directory, log.schema, adding_writer());
  for (const auto& event : log.events) writer.add_event(event);
  for (const auto& request : log.requests) writer.add_request(request);
  for (const auto& [user, row] : log.users) writer.add_user(user, row);
  for (const auto& [item, row] : log.items) writer.add_item(item, row);
  writer.finish();
  return writer.added();
}

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

std::vector<Batch> batches_of(const Dataset& dataset, HistoryMode mode) {
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

std::map<std::string, std::string> files_of(const std::string& directory) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory))
    if (entry.is_regular_file()) files[entry.path().string()] = read_file(entry.path());
  return files;
}

}  // namespace lime
