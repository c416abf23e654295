#include "io/import_csv.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "io/import_values.h"
#include "tests/io/import_csv_fixture.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class ImportCsvTest : public CsvImport {};

TEST_F(ImportCsvTest, MinimalMappingMakesEveryRowAnEventAndARequest) {
  write("mapping.yaml", minimal_mapping);
  write("log.csv", "user,item,ts,clicked\nann,book,86401,1\nann,pen,86400,0.5\n17,book,5,0\n");
  const auto data = import();
  EXPECT_EQ(report_.requests, 3);
  EXPECT_EQ(report_.events, 3);
  const auto& request = data.request(hashed_id("ann"), 86401000);
  EXPECT_EQ(request.day, "1970-01-02");
  EXPECT_EQ(request.candidates[0].item, hashed_id("book"));
  EXPECT_EQ(request.candidates[0].labels.at("click"), 1);
  ASSERT_EQ(request.history.size(), 1U);
  EXPECT_EQ(request.history[0].item, hashed_id("pen"));
  EXPECT_EQ(data.request(17, 5000).day, "1970-01-01");
}

TEST_F(ImportCsvTest, ACompressedTableOfTabsIsOne) {
  write("mapping.yaml",
        "impressions: {files: log.tsv.gz, user: u, item: i, time: {column: t, unit: s}, labels: {click: c}}");
  write("log.tsv", "u\ti\tt\tc\n1\t2\t5\t1\n");
  ASSERT_EQ(std::system(str("gzip '", directory_.file("log.tsv"), "'").c_str()), 0);
  EXPECT_EQ(import().request(1, 5000).candidates[0].item, 2);
}

constexpr const char* full = R"(
name: shop
time_zone: "+08:00"
impressions:
  files: ["shown_*.tsv"]
  user: uid
  item: iid
  time: {column: when, unit: iso8601}
  day: day
  request: session
  labels:
    click: clicked
    good: {column: stars, at_least: 4}
    bought: {column: what, equals: buy}
  weights: {dwell: dwell_ms}
  request_features: {hour: {kind: id}}
  candidate_features:
    price: {kind: real, log1p: true}
  event:
    when: {column: clicked, at_least: 1}
    features: {what: {kind: id}}
users:
  files: users.txt
  separator: "::"
  columns: [uid, city, age]
  user: uid
  features: {city: {kind: id}, age: {kind: real}}
items:
  files: items.csv
  item: iid
  features: {tags: {kind: ids, separator: ";"}}
)";

void write_full(const TempDirectory& directory) {
  const std::string header = "uid\tiid\twhen\tday\tsession\tclicked\tstars\twhat\tdwell_ms\thour\tprice\n";
  write_file(directory.file("mapping.yaml"), full);
  write_file(directory.file("shown_1.tsv"),
             header +
                 "5\ta\t2022-05-08 10:00:02\t20220508\ts1\t1\t4\tbuy\t900\t10\t0\n"
                 "5\tb\t2022-05-08 12:00:00\t20220508\ts2\t0\t3\tview\t\t12\t1.5\n");
  write_file(directory.file("shown_2.tsv"),
             header +
                 "6\tb\t2022-05-08 10:00:00\t20220508\ts1\t1\t5\tview\t1\t10\t2\n"
                 "5\tc\t2022-05-08 10:00:01\t20220508\ts1\t1\t2\tview\t100\t10\t3\n");
  write_file(directory.file("users.txt"), "5::Oslo::31\n6::::\n");
  write_file(directory.file("items.csv"), "iid,tags\na,red;12\nb,\n");
}

TEST_F(ImportCsvTest, RowsOfOneRequestIdFormOneRequest) {
  write_full(directory_);
  const auto data = import();
  EXPECT_EQ(report_.requests, 3);  // s1 of user 5, s1 of user 6, s2 of user 5
  EXPECT_EQ(report_.candidates, 4);
  EXPECT_EQ(report_.events, 3);
  EXPECT_EQ(report_.days, 1);

  constexpr int64_t ten = 1651975200000;              // 10:00 at UTC+8
  const auto& request = data.request(5, ten + 1000);  // the earliest of its rows
  EXPECT_EQ(request.day, "2022-05-08");
  EXPECT_EQ(request.ids.at("hour"), 10);
  EXPECT_EQ(request.history.size(), 0U);
  ASSERT_EQ(request.candidates.size(), 2U);  // in order of files and lines
  EXPECT_EQ(request.candidates[0].item, hashed_id("a"));
  EXPECT_THAT(request.candidates[0].labels,
              ElementsAre(std::pair("bought", 1), std::pair("click", 1), std::pair("good", 1)));
  EXPECT_EQ(request.candidates[0].weights.at("dwell"), 900);
  EXPECT_EQ(request.candidates[1].item, hashed_id("c"));
  EXPECT_THAT(request.candidates[1].labels,
              ElementsAre(std::pair("bought", 0), std::pair("click", 1), std::pair("good", 0)));
  EXPECT_FLOAT_EQ(request.candidates[1].reals.at("price"), static_cast<float>(std::log1p(3.0)));

  const auto& later = data.request(5, ten + 7200000);
  EXPECT_EQ(later.candidates[0].weights.at("dwell"), 0);  // an empty field
  ASSERT_EQ(later.history.size(), 2U);
  EXPECT_EQ(later.history[0].item, hashed_id("c"));
  EXPECT_EQ(later.history[1].item, hashed_id("a"));
  EXPECT_EQ(later.history[1].ids.at("what"), hashed_id("buy"));
}

TEST_F(ImportCsvTest, GroupingIsTheSameWithLittleMemory) {
  write("mapping.yaml", str(minimal_mapping, "  request: r\n"));
  std::string rows = "user,item,ts,clicked,r\n";
  constexpr int sessions = 1000;
  for (int i = 0; i < 3 * sessions; ++i)
    rows += str(i % 7, ",", i, ",", i % sessions, ",1,s", i % sessions, "\n");
  write("log.csv", rows);
  const auto plenty = import();
  options_.writer.memory_bytes = int64_t{16} << 10;
  options_.writer.overwrite = true;
  const auto little = import();
  ASSERT_EQ(plenty.requests.size(), little.requests.size());
  for (size_t i = 0; i < plenty.requests.size(); ++i) {
    const auto &a = plenty.requests[i], &b = little.requests[i];
    EXPECT_EQ(a.user, b.user);
    EXPECT_EQ(a.time, b.time);
    ASSERT_EQ(a.candidates.size(), b.candidates.size());
    for (size_t c = 0; c < a.candidates.size(); ++c) EXPECT_EQ(a.candidates[c].item, b.candidates[c].item);
  }
}

TEST_F(ImportCsvTest, ReadsUsersAndItems) {
  write_full(directory_);
  const auto data = import();
  EXPECT_EQ(data.users.at(5).ids.at("city"), hashed_id("Oslo"));
  EXPECT_EQ(data.users.at(5).reals.at("age"), 31);
  EXPECT_EQ(data.users.at(6).ids.at("city"), -1);
  EXPECT_THAT(data.users.at(6).reals.at("age"), testing::IsNan());
  EXPECT_THAT(data.items.at(hashed_id("a")).lists.at("tags"), ElementsAre(hashed_id("red"), 12));
  EXPECT_THAT(data.items.at(hashed_id("b")).lists.at("tags"), ElementsAre());
}

TEST_F(ImportCsvTest, WordsOfTruthAreNoLabels) {
  write("mapping.yaml", minimal_mapping);
  write("log.csv", "user,item,ts,clicked\n1,2,100,True\n");
  EXPECT_THAT(failure(), testing::EndsWith("log.csv:2:clicked: found 'True', expected a number; of True and "
                                           "False: {column: clicked, equals: \"True\"}"));
  std::string mapping = minimal_mapping;
  mapping.replace(mapping.find("click: clicked"), 14, "click: {column: clicked, equals: \"True\"}");
  write("mapping.yaml", mapping);
  import();
  EXPECT_EQ(report_.label_rates, std::vector<double>{1.0});
}

TEST_F(ImportCsvTest, EventsCanHaveFilesOfTheirOwn) {
  write("mapping.yaml", str(minimal_mapping,
                            "events:\n  files: ev.csv\n  user: u\n  item: i\n  time: {column: t, unit: ms}\n",
                            "  features: {kind: {kind: id}}\n"));
  write("log.csv", "user,item,ts,clicked\n1,2,100,1\n");
  write("ev.csv", "u,i,t,kind\n1,7,99999,3\n1,8,100000,4\n");
  const auto data = import();
  EXPECT_EQ(report_.events, 2);
  ASSERT_EQ(data.requests[0].history.size(), 1U);  // strictly before
  EXPECT_EQ(data.requests[0].history[0].item, 7);
  EXPECT_EQ(data.requests[0].history[0].ids.at("kind"), 3);
}

TEST_F(ImportCsvTest, EventsMayHaveNoItem) {
  const std::string events = "events:\n  files: ev.csv\n  user: u\n  time: {column: t, unit: ms}\n",
                    items = "items: {files: items.csv, item: item, features: {topic: {kind: id}}}\n";
  write("mapping.yaml", str(minimal_mapping, events, "  features: {topic: {kind: id}}\n", items));
  write("log.csv", "user,item,ts,clicked\n1,2,100,1\n");
  write("ev.csv", "u,t,topic\n1,99999,3\n");
  write("items.csv", "item,topic\n2,4\n");
  const auto data = import();
  EXPECT_FALSE(Dataset::open(options_.out).schema().event_items);
  EXPECT_EQ(data.requests[0].history.at(0).item, -1);
  EXPECT_EQ(data.requests[0].history.at(0).ids.at("topic"), 3);
  EXPECT_EQ(data.items.at(2).ids.at("topic"), 4);
  // Impressions that are events, too, have theirs.
  write("mapping.yaml", str(minimal_mapping, "  event: {features: {topic: {column: clicked, kind: id}}}\n",
                            events, "  features: {topic: {kind: id}}\n"));
  options_.writer.overwrite = true;
  EXPECT_EQ(import().events.at(1).at(1).item, 2);
  EXPECT_TRUE(Dataset::open(options_.out).schema().event_items);
  write("mapping.yaml", str(minimal_mapping, events));
  EXPECT_THAT(
      user_error([&] { import_csv(options_); }),
      HasSubstr("mapping.yaml:9: events: no key 'item', expected it, or features of events without one"));
}

TEST_F(ImportCsvTest, ARequestOverMidnightIsOneOfEachDay) {
  write("mapping.yaml", str(minimal_mapping, "  request: r\n"));
  write("log.csv", "user,item,ts,clicked,r\n1,4,86401,1,s\n1,2,86399,1,s\n1,3,86400,1,s\n");
  const auto data = import();
  ASSERT_EQ(data.requests.size(), 2U);
  EXPECT_EQ(data.requests[0].day, "1970-01-01");
  ASSERT_EQ(data.requests[0].candidates.size(), 1U);
  EXPECT_EQ(data.requests[0].candidates[0].item, 2);
  EXPECT_EQ(data.requests[1].day, "1970-01-02");
  EXPECT_EQ(data.requests[1].time, 86'400'000);
  ASSERT_EQ(data.requests[1].candidates.size(), 2U);
  EXPECT_EQ(data.requests[1].candidates[0].item, 4);
}

TEST_F(ImportCsvTest, ReadsADayColumnRowByRow) {
  write("mapping.yaml", str(minimal_mapping, "  day: d\n"));
  write("log.csv",
        "user,item,ts,clicked,d\n1,2,100,1,1970-01-05\n1,3,101,1,\n1,4,102,1,x\n1,5,103,1,\n"
        "1,6,104,1,19700105\n1,7,105,1,19700106\n1,8,106,1,19700106\n");
  options_.max_bad_rows = 3;
  const auto data = import();
  std::vector<std::string> days;
  for (const auto& request : data.requests) days.push_back(request.day);
  EXPECT_THAT(days, ElementsAre("1970-01-05", "1970-01-05", "1970-01-06", "1970-01-06"));
  EXPECT_THAT(report_.bad_examples, ElementsAre(HasSubstr("log.csv:3:d: found ''"), HasSubstr("log.csv:4:d"),
                                                HasSubstr("log.csv:5:d: found ''")));
}

TEST_F(ImportCsvTest, NamesFileLineAndColumnOfAMalformedValue) {
  write("mapping.yaml", minimal_mapping);
  write("log.csv", "user,item,ts,clicked\n1,2,100,1\n1,2,100,7\n,2,100,1\n1,2,x,1\n");
  EXPECT_THAT(failure(), HasSubstr("log.csv:3:clicked: found '7', expected a number from 0 to 1"));
  options_.max_bad_rows = 3;
  EXPECT_EQ(import().requests.size(), 1U);
  EXPECT_THAT(report_.bad_examples,
              ElementsAre(HasSubstr("log.csv:3:clicked"), HasSubstr("log.csv:4:user: found ''"),
                          HasSubstr("log.csv:5:ts: found 'x', expected an integer")));
}

TEST_F(ImportCsvTest, ALogWithoutRowsMakesNoDataset) {
  write("mapping.yaml", minimal_mapping);
  write("log.csv", "user,item,ts,clicked\n");
  EXPECT_THAT(failure(),
              HasSubstr("log.csv: found no row to learn from, expected at least one (0 rows read"));
  options_.max_bad_rows = 5;
  write("log.csv", "user,item,ts,clicked\n1,2,x,1\n1,,100,0\n");
  EXPECT_THAT(failure(), HasSubstr("(2 rows read, 2 of them left out)"));
}

TEST_F(ImportCsvTest, TimesMayBeFloats) {
  write("mapping.yaml", minimal_mapping);
  write("log.csv", "user,item,ts,clicked\n1,2,1709251200.25,1\n1,3,1.7092512e9,0\n");
  const auto data = import();
  EXPECT_EQ(data.request(1, 1709251200250).day, "2024-03-01");
  EXPECT_EQ(data.request(1, 1709251200000).candidates[0].item, 3);
}

TEST_F(ImportCsvTest, ATimeOfAnotherUnitIsNamed) {
  write("mapping.yaml", minimal_mapping);
  for (const std::string time : {"1709251200000", "1.7e12", "-1", "-0.5"}) {  // ms where s are expected
    write("log.csv", "user,item,ts,clicked\n1,2," + time + ",1\n");
    EXPECT_THAT(failure(), testing::EndsWith("log.csv:2:ts: found '" + time +
                                             "', expected s since 1970, up to the year 9999" +
                                             (time.starts_with("-") ? "" : "; is it in ms?")));
  }
  for (const std::string time : {"2026-03-01", "1.3.2026 07:30", "3/1/26"}) {
    write("log.csv", "user,item,ts,clicked\n1,2," + time + ",1\n");
    EXPECT_THAT(failure(), testing::EndsWith("found '" + time +
                                             "', expected s since 1970, up to the year 9999; of "
                                             "dates: unit: iso8601, or a format"));
  }
}

TEST_F(ImportCsvTest, ATimeWithoutADayIsABadRow) {
  write("mapping.yaml", R"(
time_zone: "+08:00"
impressions:
  files: log.csv
  user: user
  item: item
  time: {column: ts, unit: iso8601}
  labels: {click: clicked}
)");
  for (const std::string time :
       {"9999-12-31T23:00Z", "0000-01-01T00:00+14:00"}) {  // 10000-01-01, -0001-12-31
    write("log.csv", "user,item,ts,clicked\n1,2," + time + ",1\n");
    EXPECT_THAT(failure(), HasSubstr("log.csv:2:ts: found '" + time +
                                     "', expected a time of the years 0 to 9999 in time_zone"));
  }
}

// Events of impressions count for the day that their row names: one after midnight closes no day but that.
TEST_F(ImportCsvTest, AddsRowsOfNewDaysByTheDayThatTheyName) {
  write("mapping.yaml", std::string(minimal_mapping) + "  day: date\n");
  const std::string header = "user,item,ts,clicked,date\n",
                    first = "1,10,50,1,19700101\n2,20,86580,1,19700101\n",
                    second = "1,11,86400,0,19700102\n2,21,86460,1,19700102\n3,30,86461,1,19700102\n";
  write("log.csv", header + first);
  import();
  EXPECT_FALSE(report_.added);
  options_.writer.add = true;
  write("log.csv", header + first + second);
  const auto data = import();
  ASSERT_TRUE(report_.added);
  EXPECT_THAT(report_.added->days, ElementsAre("1970-01-02"));
  EXPECT_EQ(report_.added->known_events, 2);
  EXPECT_EQ(report_.added->known_requests, 2);
  EXPECT_EQ(report_.added->late_events, 1);  // user 2 was seen at 86580
  EXPECT_EQ(report_.added->late_requests, 1);
  EXPECT_EQ(report_.added->events, 2);
  EXPECT_DOUBLE_EQ(report_.label_rates[0], 2.0 / 3);  // of rows of the new day
  EXPECT_EQ(data.requests.size(), 4u);
  EXPECT_THAT(data.request(1, 86400000).history, testing::SizeIs(1));
  EXPECT_THAT(data.events.at(3), testing::SizeIs(1));
}

TEST_F(ImportCsvTest, AddsGroupedRequestsAndEventsOfTheirOwnFiles) {
  write("mapping.yaml",
        std::string(minimal_mapping) +
            "  request: session\n"
            "events: {files: events.csv, user: user, item: item, time: {column: ts, unit: s}}\n");
  const std::string header = "user,item,ts,clicked,session\n", events = "user,item,ts\n";
  write("log.csv", header + "1,10,100,1,a\n1,11,100,0,a\n");
  write("events.csv", events + "1,90,50\n");
  import();
  options_.writer.add = true;
  write("log.csv", header + "1,10,100,1,a\n1,12,90000,1,b\n1,13,90001,0,b\n");
  write("events.csv", events + "1,90,50\n1,91,89999\n1,92,90000\n");
  const auto data = import();
  EXPECT_EQ(report_.added->requests, 1);
  EXPECT_EQ(report_.added->candidates, 2);
  EXPECT_EQ(report_.added->known_requests, 1);
  EXPECT_EQ(report_.added->known_events, 1);
  EXPECT_EQ(report_.added->events, 2);
  EXPECT_THAT(data.request(1, 90000000).history, testing::SizeIs(2));
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory_.path()))
    EXPECT_EQ(entry.path().string().find("sort"), std::string::npos) << "left behind: " << entry.path();
  // An import that adds may find nothing; one that makes a dataset may not.
  write("log.csv", header);
  write("events.csv", events);
  import();
  EXPECT_FALSE(report_.added->any());
  options_.writer.add = false;
  options_.writer.overwrite = true;
  EXPECT_THAT(user_error([&] { import_csv(options_); }), HasSubstr("no row to learn from"));
}

}  // namespace
}  // namespace lime
