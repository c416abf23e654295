#include "io/dataset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <sstream>
#include <utility>

#include "io/external_sort.h"
#include "io/hdf5_file.h"
#include "io/id_overlap.h"
#include "io/inspect.h"
#include "tests/io/random_log.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

TEST(Dataset, DescribesItself) {
  TempDirectory temp;
  const auto log = make_random_log(1);
  const auto written = write_log(log, temp.file("data"), small_writer(3));
  const auto dataset = Dataset::open(temp.file("data"));
  EXPECT_EQ(dataset.schema().columns, log.schema.columns);
  EXPECT_EQ(dataset.schema().name, "random");
  EXPECT_EQ(dataset.schema().source, log.schema.source);
  EXPECT_EQ(dataset.schema().facts, log.schema.facts);
  EXPECT_EQ(dataset.schema().labels, log.schema.labels);
  EXPECT_EQ(dataset.schema().weights, log.schema.weights);
  EXPECT_EQ(dataset.parts(), 3);
  EXPECT_EQ(dataset.events(), static_cast<int64_t>(log.events.size()));
  EXPECT_EQ(dataset.items(), static_cast<int64_t>(log.items.size()));
  int64_t requests = 0, candidates = 0, shown = 0;
  for (const auto& day : dataset.days()) requests += day.requests, candidates += day.candidates;
  for (const auto& request : log.requests) shown += static_cast<int64_t>(request.candidates.size());
  EXPECT_EQ(requests, static_cast<int64_t>(log.requests.size()));
  EXPECT_EQ(candidates, shown);
  EXPECT_EQ(dataset.day_start_ms("2022-04-27"), 1'650'988'800'000);
}

TEST(Dataset, PartsAreBalancedAndDoNotDependOnTheOrderOfInput) {
  TempDirectory temp;
  auto log = make_random_log(2);
  const auto first = write_log(log, temp.file("a"), small_writer(4));
  std::mt19937 random(7);
  std::shuffle(log.events.begin(), log.events.end(), random);
  std::shuffle(log.requests.begin(), log.requests.end(), random);
  const auto second = write_log(log, temp.file("b"), small_writer(4));
  for (int64_t p = 0; p < 4; ++p) {
    const auto users = Hdf5File(first.events_path(p), Hdf5File::Mode::read).read<int64_t>("/user/id");
    EXPECT_EQ(users, Hdf5File(second.events_path(p), Hdf5File::Mode::read).read<int64_t>("/user/id"));
    int64_t rows = first.part_info(p).events;
    for (const auto& day : first.days()) rows += day.part_requests[static_cast<size_t>(p)];
    const auto all = static_cast<int64_t>(log.events.size() + log.requests.size());
    EXPECT_NEAR(static_cast<double>(rows), static_cast<double>(all) / 4, static_cast<double>(all) / 40)
        << "part " << p;
  }
}

TEST(Dataset, TinyMemorySpillsAndWritesTheSameFiles) {
  TempDirectory temp;
  const auto log = make_random_log(3, {60, 20000, 8000, 3});
  auto options = small_writer(2);
  write_log(log, temp.file("large"), options);
  options.memory_bytes = 1;  // raised to the least the writer can work with
  bool spilled = false;
  options.progress = [&](const std::string&, double) {
    for (const auto& entry : fs::recursive_directory_iterator(temp.path()))
      spilled |= entry.path().string().find("/sort/events-") != std::string::npos;
  };
  write_log(log, temp.file("small"), options);
  EXPECT_TRUE(spilled);
  // Chunks are smaller, so files differ in bytes: compare what they hold.
  const auto large = Dataset::open(temp.file("large")), small = Dataset::open(temp.file("small"));
  const auto compare = [](const std::string& a, const std::string& b,
                          const std::vector<std::string>& columns) {
    const Hdf5File left(a, Hdf5File::Mode::read), right(b, Hdf5File::Mode::read);
    for (const auto& column : columns)
      EXPECT_EQ(left.read<double>(column), right.read<double>(column)) << a << column;
  };
  for (int64_t p = 0; p < 2; ++p) {
    compare(large.events_path(p), small.events_path(p),
            {"/user/row", "/user/id", "/user/interests/values", "/history/user", "/history/offsets",
             "/event/time", "/event/item", "/event/action", "/event/tags/offsets", "/event/tags/values",
             "/event/dwell"});
    for (const auto& day : large.days())
      compare(large.day_path(day.day, p), small.day_path(day.day, p),
              {"/request/user", "/request/time", "/request/history_end", "/request/rid",
               "/request/ctx/values", "/candidate/offsets", "/candidate/item", "/candidate/shown/values",
               "/label/click", "/weight/trust"});
  }
}

TEST(ExternalSort, ManyRunsMergeInSeveralPasses) {
  TempDirectory temp;
  ExternalSorter sorter(temp.file("runs"), "x");
  std::mt19937_64 random(5);
  std::vector<std::pair<SortKey, std::string>> expected;
  for (int64_t i = 0; i < 5000; ++i) {
    const SortKey key{static_cast<int64_t>(random() % 7) - 3, static_cast<int64_t>(random() % 5), 0, i};
    expected.emplace_back(key, std::string(random() % 40, static_cast<char>('a' + i % 26)));
    sorter.add(key, expected.back().second);
    if (i % 30 == 0) sorter.spill();  // 167 runs: more than are merged at once
  }
  std::sort(expected.begin(), expected.end());
  sorter.seal(1 << 20);
  for (const auto& [key, record] : expected) {
    ASSERT_TRUE(sorter.next());
    EXPECT_EQ(sorter.key(), key);
    EXPECT_EQ(sorter.record(), record);
  }
  EXPECT_FALSE(sorter.next());
  EXPECT_TRUE(fs::is_empty(temp.file("runs")));
}

TEST(DatasetWriter, LeavesNothingWithoutFinish) {
  TempDirectory temp;
  const auto log = make_random_log(4);
  {
    DatasetWriter writer(temp.file("data"), log.schema, small_writer(2));
    for (const auto& event : log.events) writer.add_event(event);
    EXPECT_FALSE(fs::exists(temp.file("data")));
  }
  EXPECT_TRUE(fs::is_empty(temp.path()));
  EXPECT_THAT(user_error([&] {
                DatasetWriter writer(temp.file("data"), log.schema, small_writer(2));
                writer.add_user(5, log.users.begin()->second);
                writer.add_user(5, log.users.begin()->second);
                writer.add_event({5, 0, 0, log.events[0].values});
                writer.finish();
              }),
              HasSubstr("user 5: given twice"));
  EXPECT_TRUE(fs::is_empty(temp.path()));
}

TEST(IdOverlap, IsExactOfFewIdsAndCloseOfMany) {
  IdOverlap few;
  EXPECT_EQ(few.share(), 1.0);  // nothing is missing
  for (int64_t id : {1, 2, 3, 3, 4}) few.add(id);
  EXPECT_EQ(few.share(), 0.0);
  for (int64_t id : {3, 4, 5, 5}) few.add_known(id);
  EXPECT_EQ(few.share(), 0.5);
  IdOverlap many;
  for (int64_t id = 0; id < 1'000'000; ++id) many.add(id);
  for (int64_t id = 700'000; id < 730'000; ++id) many.add_known(id);  // fewer: another sample
  for (int64_t id = 3'000'000; id < 3'010'000; ++id) many.add_known(id);
  EXPECT_NEAR(many.share(), 0.03, 0.003);
  IdOverlap among_many;
  for (int64_t id = 0; id < 1'000'000; ++id) among_many.add_known(id);
  for (int64_t id = 995'000; id < 1'005'000; ++id) among_many.add(id);
  EXPECT_NEAR(among_many.share(), 0.5, 0.1);
}

TEST(DatasetWriter, TwoOfOneProcessDoNotShareADirectory) {
  TempDirectory temp;
  const auto log = make_random_log(4);
  DatasetWriter first(temp.file("data"), log.schema, small_writer(2));
  EXPECT_THAT(user_error([&] { DatasetWriter(temp.file("data"), log.schema, small_writer(2)); }),
              HasSubstr(" is making it ("));
  for (const auto& event : log.events) first.add_event(event);
  first.finish();
}

TEST(Inspect, BreaksLongLinesOfColumns) {
  TempDirectory temp;
  DatasetSchema schema;
  schema.labels = {"click"};
  for (int c = 10; c < 40; ++c)
    schema.columns.push_back({str("column_", c), ColumnGroup::user, ColumnKind::id});
  DatasetWriter writer(temp.file("wide"), schema, small_writer(1));
  std::istringstream text(inspect(writer.finish(), false));
  size_t columns = 0;
  for (std::string line; std::getline(text, line);) {
    if (line.find("column_") == std::string::npos) continue;
    EXPECT_LE(line.size(), 110u);
    EXPECT_TRUE(line.starts_with(columns == 0 ? "  user: column_10 (id), " : "        column_")) << line;
    for (size_t at = 0; (at = line.find("column_", at)) != std::string::npos; ++at) ++columns;
  }
  EXPECT_EQ(columns, 30u);
}

TEST(DatasetWriter, RefusesToReplaceUnlessTold) {
  TempDirectory temp;
  const auto log = make_random_log(5, {10, 50, 20, 2});
  write_log(log, temp.file("data"), small_writer(2));
  EXPECT_THAT(user_error([&] { DatasetWriter(temp.file("data"), log.schema, small_writer(2)); }),
              HasSubstr("exists already; choose another name, or replace it with --overwrite"));
  auto options = small_writer(5);
  options.overwrite = true;
  write_log(log, temp.file("data"), options);
  EXPECT_EQ(Dataset::open(temp.file("data")).parts(), 5);
  fs::create_directory(temp.file("precious"));
  write_file(temp.file("precious/thesis.txt"), "years");
  EXPECT_THAT(user_error([&] { DatasetWriter(temp.file("precious"), log.schema, options); }),
              HasSubstr("is not a dataset"));
  EXPECT_EQ(std::distance(fs::directory_iterator(temp.path()), fs::directory_iterator()), 2);  // no leftovers
}

TEST(DatasetWriter, RefusesBadSchemasAndRows) {
  TempDirectory temp;
  const auto refused = [&](auto&& change) {
    auto schema = make_random_log(1, {4, 5, 5, 1}).schema;
    change(schema);
    return user_error([&] { DatasetWriter(temp.file("data"), schema, small_writer(1)); });
  };
  constexpr auto event = ColumnGroup::event;
  EXPECT_THAT(refused([](auto& s) {
                s.columns.push_back({"author", event, ColumnKind::real});
              }),
              HasSubstr("'author'"));
  EXPECT_THAT(refused([](auto& s) {
                s.columns.push_back({"time", event, ColumnKind::id});
              }),
              HasSubstr("'time'"));
  EXPECT_THAT(refused([](auto& s) {
                s.columns.push_back({"a/b", event, ColumnKind::id});
              }),
              HasSubstr("'a/b'"));
  EXPECT_THAT(refused([](auto& s) { s.labels = {"click", "click"}; }), HasSubstr("'click'"));
  EXPECT_THAT(refused([](auto& s) { s.time_zone = "Asia/Shanghai"; }), HasSubstr("'Asia/Shanghai'"));

  const auto log = make_random_log(1);
  DatasetWriter writer(temp.file("data"), log.schema, small_writer(1));
  auto request = log.requests[0];
  request.day = "2022-02-30";
  EXPECT_THAT(user_error([&] { writer.add_request(request); }), HasSubstr("'2022-02-30'"));
  request = log.requests[0];
  request.candidates = {{1, log.events[0].values, {1.5f, 0.0f}, {0.0f, 0.0f}}};
  EXPECT_THAT(user_error([&] { writer.add_request(request); }), HasSubstr("label click"));
  request.candidates = {{1, log.events[0].values, {1.0f, 0.0f}, {0.0f, NAN}}};
  EXPECT_THAT(user_error([&] { writer.add_request(request); }), HasSubstr("weight trust"));
  EXPECT_THAT(user_error([&] { writer.add_event({-4, 0, 0, log.events[0].values}); }), HasSubstr("user -4"));
}

TEST(DatasetWriter, EmptyLogsAndColumnsAreLegal) {
  TempDirectory temp;
  DatasetSchema schema;
  schema.labels = {"click"};
  const auto nothing = DatasetWriter(temp.file("nothing"), schema, small_writer(2)).finish();
  EXPECT_EQ(nothing.days().size(), 0u);
  EXPECT_EQ(nothing.users(), 0);
  DatasetWriter writer(temp.file("requests"), schema, small_writer(2));
  writer.add_request({7, 1000, "1970-01-01", {}, {}});
  const auto dataset = writer.finish();
  EXPECT_EQ(dataset.days().at(0).requests, 1);
  EXPECT_EQ(dataset.items(), 0);
  EXPECT_FALSE(fs::exists(dataset.items_path()));
}

TEST(Dataset, SelectsDays) {
  TempDirectory temp;
  DatasetSchema schema;
  DatasetWriter writer(temp.file("data"), schema, small_writer(1));
  for (const char* day : {"2022-04-30", "2022-05-01", "2022-05-02", "2022-05-05"})
    writer.add_request({1, 0, day, {}, {}});
  const auto dataset = writer.finish();
  using Days = std::vector<std::string>;
  EXPECT_EQ(dataset.select_days("2022-05-01", "k"), Days{"2022-05-01"});
  EXPECT_EQ(dataset.select_days("2022-05-01..2022-05-05", "k"),
            (Days{"2022-05-01", "2022-05-02", "2022-05-05"}));
  EXPECT_EQ(dataset.select_days("2022-05-05, 2022-04-30..2022-05-01,2022-05-01", "k"),
            (Days{"2022-04-30", "2022-05-01", "2022-05-05"}));
  EXPECT_EQ(dataset.days_among("2022-04-01..2022-04-30,2022-05-04,2022-05-05..2030-01-01", "k"),
            (Days{"2022-04-30", "2022-05-05"}));
  EXPECT_EQ(dataset.days_among("", "k"), Days{});
  const auto refused = [&](const char* text) {
    return user_error([&] { dataset.select_days(text, "data.train"); });
  };
  EXPECT_THAT(refused("2022-05-04"),
              testing::AllOf(HasSubstr("data.train"), HasSubstr("no day 2022-05-04"),
                             HasSubstr("2022-04-30..2022-05-02 (3 days), 2022-05-05")));
  EXPECT_THAT(refused("2022-04-30..2022-05-09"), HasSubstr("no day 2022-05-09"));
  EXPECT_THAT(refused("2022-05-02..2022-05-01"), HasSubstr("first day before the last"));
  EXPECT_THAT(refused("yesterday"), HasSubstr("'yesterday'"));
  EXPECT_THAT(refused("2022-5-1"), HasSubstr("'2022-5-1'"));
  EXPECT_THAT(refused(""), HasSubstr("expected days"));
}

TEST(Dataset, MergesDays) {
  EXPECT_EQ(merged_days("2022-05-05,2022-04-25..2022-05-04, 2022-05-06", "k"), "2022-04-25..2022-05-06");
  EXPECT_EQ(merged_days("2022-05-03,2022-05-01,2022-05-01..2022-05-01", "k"), "2022-05-01,2022-05-03");
  EXPECT_EQ(merged_days("2022-04-01..2022-04-30,2022-04-02..2022-04-03,2022-05-01", "k"),
            "2022-04-01..2022-05-01");
  EXPECT_EQ(merged_days("2021-12-31,2022-01-01", "k"), "2021-12-31..2022-01-01");
  EXPECT_EQ(merged_days("", "k"), "");
}

TEST(Dataset, FilesAreReadableWithGenericTools) {
  if (std::system("h5dump --version > /dev/null 2>&1") != 0) GTEST_SKIP() << "no h5dump here";
  TempDirectory temp;
  const auto dataset = write_log(make_random_log(6), temp.file("data"), small_writer(1));
  for (const auto& file :
       {dataset.events_path(0), dataset.day_path(dataset.days()[0].day, 0), dataset.items_path()})
    EXPECT_EQ(std::system(("h5dump " + file + " > /dev/null").c_str()), 0) << file;
}

}  // namespace
}  // namespace lime
