// Logs whose rows hold lists: of candidates that were shown together, of a user's events.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "io/csv_reader.h"
#include "io/import_values.h"
#include "io/list_text.h"
#include "tests/io/import_csv_fixture.h"
#include "tests/io/import_dump.h"

namespace lime {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::vector<std::string> values_of(std::string_view text, std::string_view separator) {
  ListText list(text, separator);
  const size_t count = list.left();
  std::vector<std::string> values;
  for (std::string_view value; list.next(value);) values.emplace_back(value);
  EXPECT_EQ(values.size(), count) << text;
  return values;
}

TEST(ListText, ValuesStandBetweenSeparators) {
  EXPECT_THAT(values_of("1|2|3", "|"), ElementsAre("1", "2", "3"));
  EXPECT_THAT(values_of("1", "|"), ElementsAre("1"));
  EXPECT_THAT(values_of("", "|"), IsEmpty());
  EXPECT_THAT(values_of("|", "|"), ElementsAre("", ""));
  EXPECT_THAT(values_of("a, b", ", "), ElementsAre("a", "b"));
  EXPECT_THAT(values_of(" a,'b'", ","), ElementsAre(" a", "'b'"));
}

TEST(ListText, BracketsSpacesAndQuotesAreLeftOut) {
  EXPECT_THAT(values_of("[1, 2,3 ]", ","), ElementsAre("1", "2", "3"));
  EXPECT_THAT(values_of("['a b', \"c\", '']", ","), ElementsAre("a b", "c", ""));
  EXPECT_THAT(values_of("[]", ","), IsEmpty());
  EXPECT_THAT(values_of("[ ]", ","), IsEmpty());
  EXPECT_THAT(values_of("[", ","), ElementsAre("["));
}

class ImpressionLists : public CsvImport {};

constexpr const char* parallel = R"(
impressions:
  files: log.csv
  explode: [items, clicks, prices]
  user: user
  item: items
  time: {column: ts, unit: s}
  labels: {click: clicks}
  request_features: {tab: {kind: id}}
  candidate_features: {price: {column: prices, kind: real}}
  event: {when: {column: clicks, at_least: 1}}
)";

TEST_F(ImpressionLists, ARowIsARequestAndItsListsTheCandidates) {
  write("mapping.yaml", parallel);
  write("log.csv",
        "user,ts,tab,items,clicks,prices\n"
        "1,10,4,7|8|9,0|1|0,1.5||2\n"
        "1,20,5,8|7,0|0,3|4\n"
        "2,20,5,7,1,\n");
  const auto data = import();
  EXPECT_EQ(report_.rows, 6);
  EXPECT_EQ(report_.requests, 3);
  EXPECT_EQ(report_.candidates, 6);
  EXPECT_EQ(report_.events, 2);
  const auto& first = data.request(1, 10'000);
  ASSERT_EQ(first.candidates.size(), 3U);
  EXPECT_EQ(first.ids.at("tab"), 4);
  EXPECT_EQ(first.candidates[0].item, 7);
  EXPECT_EQ(first.candidates[1].item, 8);
  EXPECT_EQ(first.candidates[0].labels.at("click"), 0);
  EXPECT_EQ(first.candidates[1].labels.at("click"), 1);
  EXPECT_EQ(first.candidates[2].reals.at("price"), 2);
  EXPECT_TRUE(std::isnan(first.candidates[1].reals.at("price")));
  EXPECT_THAT(first.history, IsEmpty());  // its own click is after it
  const auto& second = data.request(1, 20'000);
  ASSERT_EQ(second.history.size(), 1U);
  EXPECT_EQ(second.history[0].item, 8);
  EXPECT_EQ(data.request(2, 20'000).candidates.size(), 1U);  // an empty price beside one item is one
}

TEST_F(ImpressionLists, WhatWasClickedMayBeAListOfItsOwn) {
  write("mapping.yaml", R"(
impressions:
  files: log.tsv
  explode: {columns: inview, separator: ",", index: position}
  user: user
  item: inview
  time: {column: ts, unit: s}
  labels: {click: {column: clicked, contains: inview, separator: ","}}
  candidate_features: {position: {kind: real}}
)");
  write("log.tsv",
        "user\tts\tinview\tclicked\n"
        "1\t10\t[5, n7, 6]\t[6.0, n7]\n"
        "1\t20\t55,5\t\n"
        "1\t30\t\t5\n");
  const auto data = import();
  EXPECT_EQ(report_.requests, 2);  // nothing was shown in the third
  const auto& request = data.request(1, 10'000);
  ASSERT_EQ(request.candidates.size(), 3U);
  EXPECT_EQ(request.candidates[1].item, hashed_id("n7"));
  const std::vector<float> clicks = {0, 1, 1};
  for (size_t k = 0; k < 3; ++k) {
    EXPECT_EQ(request.candidates[k].labels.at("click"), clicks[k]) << k;
    EXPECT_EQ(request.candidates[k].reals.at("position"), static_cast<float>(k));
  }
  for (const auto& candidate : data.request(1, 20'000).candidates)
    EXPECT_EQ(candidate.labels.at("click"), 0) << candidate.item;
}

TEST_F(ImpressionLists, ValuesMayBeItemsWithTheirLabels) {
  write("mapping.yaml", R"(
impressions:
  files: log.tsv
  columns: [impression, user, ts, shown]
  explode: {columns: shown, separator: " ", cut: "-", into: [item, clicked]}
  user: user
  item: item
  time: {column: ts, format: "%m/%d/%Y %I:%M:%S %p"}
  labels: {click: clicked}
)");
  const std::string time = "1/1/1970 12:00:10 AM";
  write("log.tsv", str("1\tU1\t", time, "\tN5-1 N-6-0\n2\tU1\t1/1/1970 12:00:20 PM\tN6-0\n"));
  const auto data = import();
  const auto& candidates = data.request(hashed_id("U1"), 10'000).candidates;
  ASSERT_EQ(candidates.size(), 2U);
  EXPECT_EQ(candidates[0].item, hashed_id("N5"));
  EXPECT_EQ(candidates[0].labels.at("click"), 1);
  EXPECT_EQ(candidates[1].item, hashed_id("N-6"));
  EXPECT_EQ(candidates[1].labels.at("click"), 0);

  write("log.tsv", str("1\tU1\t", time, "\tN5-1 N6 N7-0\n"));
  std::filesystem::remove_all(options_.out);
  EXPECT_THAT(failure(), HasSubstr("log.tsv:1:shown: found 'N6', expected 2 parts with '-' between them"));
  options_.max_bad_rows = 1;
  EXPECT_EQ(import().requests[0].candidates.size(), 2U);

  write("log.tsv", "1\tU1\t13/1/1970 12:00:10 AM\tN5-1\n");
  options_.max_bad_rows = 0;
  std::filesystem::remove_all(options_.out);
  EXPECT_THAT(
      failure(),
      HasSubstr("log.tsv:1:ts: found '13/1/1970 12:00:10 AM', expected a time of the format %m/%d/%Y"));
}

TEST_F(ImpressionLists, AListInThePlaceOfANumberIsToldOf) {
  write("mapping.yaml", R"(
impressions: {files: log.csv, user: user, item: items, time: {column: ts, unit: s}, labels: {click: clicks}}
)");
  write("log.csv", "user,ts,items,clicks\n1,10,7|8|9,0|1|0\n");
  EXPECT_THAT(failure(),
              HasSubstr("log.csv:2:clicks: found '0|1|0', expected a number; the values of a list are "
                        "taken apart by `explode`"));
}

TEST_F(ImpressionLists, AListInThePlaceOfAnIdIsNoLabel) {
  write("mapping.yaml", R"(
impressions:
  files: log.csv
  explode: inview
  user: user
  item: inview
  time: {column: ts, unit: s}
  labels: {click: {column: inview, contains: clicked}}
)");
  write("log.csv", "user,ts,inview,clicked\n1,10,5|6,\n1,20,5|6,6\n1,30,5|6|7,7|5\n");
  EXPECT_THAT(failure(),
              HasSubstr("log.csv:4:clicked: found '7|5', expected one id, which is looked for in the "
                        "list 'inview'; are `column` and `contains` the wrong way round?"));
  write("log.csv", "user,ts,inview,clicked\n1,20,5|6,6\n");  // of one id it is the same both ways
  EXPECT_EQ(import().request(1, 20'000).candidates[1].labels.at("click"), 1);
}

TEST_F(ImpressionLists, RowsOfARequestMayHoldListsToo) {
  write("mapping.yaml", R"(
impressions:
  files: log.csv
  explode: items
  user: user
  item: items
  request: page
  time: {column: ts, unit: s}
  labels: {click: {column: clicked, contains: items}}
)");
  write("log.csv", "user,ts,page,items,clicked\n1,20,3,7|8,8\n1,10,3,9,\n1,10,4,9,9\n");
  const auto data = import();
  EXPECT_EQ(report_.requests, 2);
  EXPECT_EQ(data.requests[0].candidates.size() + data.requests[1].candidates.size(), 4U);
  EXPECT_EQ(data.requests[0].time, 10'000);
}

TEST_F(ImpressionLists, AUsersEventsMayBeInOneRow) {
  write("mapping.yaml", R"(
impressions: {files: log.csv, user: u, item: i, time: {column: t, unit: s}, labels: {click: c}}
events:
  files: histories.csv
  explode: {columns: [items, times, kinds], separator: ";"}
  user: user
  item: items
  time: {column: times, unit: s}
  features: {kind: {column: kinds, kind: id}}
)");
  write("log.csv", "u,i,t,c\n1,9,100,1\n");
  write("histories.csv", "user,items,times,kinds\n1,5;6;7,50;100;20,1;2;3\n2,,,\n");
  const auto data = import();
  EXPECT_EQ(report_.events, 3);
  const auto& request = data.requests[0];
  ASSERT_EQ(request.history.size(), 2U);
  EXPECT_EQ(request.history[0].item, 7);
  EXPECT_EQ(request.history[1].item, 5);
  EXPECT_EQ(request.history[1].ids.at("kind"), 1);
}

TEST_F(ImpressionLists, AUsersHistoryMayBeALongLine) {
  write("mapping.yaml", R"(
impressions: {files: log.csv, user: u, item: i, time: {column: t, unit: s}, labels: {click: c}}
events: {files: long.csv, explode: [items, times], user: user, item: items, time: {column: times, unit: s}}
)");
  write("log.csv", "u,i,t,c\n1,9,900000,1\n");
  constexpr int64_t events = 150'000;
  std::string items, times;
  for (int64_t k = 0; k < events; ++k) {
    items += str(k > 0 ? "|" : "", 1'000'000 + k);
    times += str(k > 0 ? "|" : "", 700'000 + k);
  }
  write("long.csv", str("user,items,times\n1,", items, ",", times, "\n"));
  EXPECT_EQ(static_cast<int64_t>(import().requests[0].history.size()), events);
}

TEST_F(ImpressionLists, ListsOfUnequalLengthsAreABadRow) {
  write("mapping.yaml", parallel);
  write("log.csv",
        "user,ts,tab,items,clicks,prices\n"
        "1,10,4,7|8|9,0|1,1|1|1\n"
        "1,20,4,7|8,0|1,\n"
        "1,30,4,x|-8|9,0|2|1,1|1|1\n"
        "bad-1,30,4,7|8,0|0,1|1\n"
        "-1,30,4,7|8,0|0,1|1\n");
  EXPECT_THAT(failure(),
              HasSubstr("log.csv:2: found 3 values in 'items' and 2 in 'clicks', expected as many"));
  options_.max_bad_rows = 9;
  const auto data = import();
  EXPECT_THAT(report_.bad_examples,
              ElementsAre(HasSubstr("log.csv:2: found 3 values"),
                          HasSubstr("log.csv:3: found 2 values in 'items' and 0 in 'prices'"),
                          HasSubstr("log.csv:4:items: found '-8', expected an id"),
                          HasSubstr("log.csv:6:user: found '-1'"), HasSubstr("log.csv:6:user: found '-1'")));
  ASSERT_EQ(data.requests.size(), 2U);
  EXPECT_EQ(report_.rows, 1 + 1 + 3 + 2 + 2);
  EXPECT_EQ(data.request(1, 30'000).candidates.size(), 2U);  // without the one that was bad
}

TEST_F(ImpressionLists, MappingsThatCannotBeMeantAreRefused) {
  const auto fails = [&](const std::string& explode, const std::string& label) {
    write("mapping.yaml",
          str("impressions:\n  files: log.csv\n  explode: ", explode,
              "\n  user: u\n  item: i\n  time: {column: t, unit: s}\n  labels: {click: ", label, "}\n"));
    return failure();
  };
  write("log.csv", "u,i,t,c\n1,2|3,4,0|1\n");
  EXPECT_THAT(fails("[i, x]", "c"), HasSubstr("log.csv:1: no column 'x'"));
  EXPECT_THAT(
      fails("{columns: i, seperator: x}", "c"),
      HasSubstr("mapping.yaml:3: impressions.explode: unknown key 'seperator' (nearest: 'separator')"));
  EXPECT_THAT(fails("{columns: i, separator: ''}", "c"), HasSubstr("a separator of at least one character"));
  EXPECT_THAT(fails("{columns: i, cut: '-'}", "c"), HasSubstr("expected `cut` with `into`"));
  EXPECT_THAT(fails("{columns: i, into: [a, b]}", "c"), HasSubstr("expected `cut` with `into`"));
  EXPECT_THAT(fails("{columns: i, cut: '-', into: a}", "c"), HasSubstr("names of two columns or more"));
  EXPECT_THAT(fails("{columns: [i, c], cut: '-', into: [a, b]}", "c"),
              HasSubstr("found 2 columns, expected one"));
  EXPECT_THAT(fails("{columns: [i, c], index: u}", "c"), HasSubstr("found column 'u' twice"));
  EXPECT_THAT(fails("[i, c]", "{column: c, separator: ';'}"), HasSubstr("only contains has a separator"));
  EXPECT_THAT(fails("[i, c]", "{column: c, contains: i, equals: 1}"),
              HasSubstr("found several of at_least, equals and contains"));
  EXPECT_THAT(fails("[i, c]", "{column: c, contains: x}"), HasSubstr("log.csv:1: no column 'x'"));
}

}  // namespace
}  // namespace lime
