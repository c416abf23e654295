// JSON lines as imports read them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "io/csv_reader.h"
#include "io/import_values.h"
#include "tests/io/import_csv_fixture.h"
#include "tests/io/import_dump.h"

namespace lime {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

class JsonLines : public CsvImport {
 protected:
  // The header and all rows, fields side by side; of a bad row what is wrong with it.
  std::vector<std::string> rows_of(const std::string& text, const CsvOptions& options = {}) {
    write("log.jsonl", text);
    CsvReader reader(directory_.file("log.jsonl"), options);
    std::vector<std::string> rows(1);
    for (const auto& column : reader.columns()) rows[0] += column + ";";
    for (bool more = true; more;) {
      try {
        while ((more = reader.next())) {
          rows.emplace_back();
          for (size_t c = 0; c < reader.columns().size(); ++c) rows.back() += str(reader.text(c), ";");
        }
      } catch (const BadRow& error) {
        rows.emplace_back(error.what());
      }
    }
    return rows;
  }
};

TEST_F(JsonLines, AnObjectIsARow) {
  EXPECT_THAT(rows_of("{\"user\": 7, \"item\": \"a|b\\n\\\"\\u00e9\", \"price\": 0.10, \"click\": true}\r\n"
                      "\n"
                      "{\"click\": false, \"user\": -1, \"price\": null, \"big\": 18446744073709551615}\n"
                      "{\"user\": 9007199254740993, \"price\": 1e3}"),
              ElementsAre("user;item;price;click;big;", "7;a|b\n\"\u00e9;0.10;1;;",
                          "-1;;;0;18446744073709551615;", "9007199254740993;;1e3;;;"));
}

TEST_F(JsonLines, NumbersThatAreNoneAreMissing) {
  EXPECT_THAT(rows_of("{\"a\": NaN, \"b\": [1, -Infinity, 3], \"c\": \"NaN \\\" NaN\", \"d\": Infinity}\n"
                      "{\"a\": NaNs}\n"),
              ElementsAre("a;b;c;d;", ";1||3;NaN \" NaN;;", HasSubstr("log.jsonl:2: found no JSON object")));
}

TEST_F(JsonLines, QuotesAreJsonsOwn) {
  EXPECT_THAT(rows_of("{\"a\":1,\"say \\\"\":2}\n{\"a\":3}\n"), ElementsAre("a;say \";", "1;2;", "3;;"));
}

TEST_F(JsonLines, ObjectsAreTakenApartAndListsJoined) {
  EXPECT_THAT(rows_of("{\"at\": {\"shop\": 5, \"where\": {\"city\": \"Oslo\"}}, \"tags\": [\"x\", null, 3, "
                      "true], \"n\": 1}\n"
                      "{\"at\": {\"shop\": 6}, \"tags\": [], \"n\": 2, \"deep\": [[1, [2]], []]}\n"
                      "{\"tags\": [null], \"n\": [4], \"at\": null}\n"),
              ElementsAre("at.shop;at.where.city;tags;n;at;", "5;Oslo;x||3|1;1;;", "6;;;2;;", ";;;4;;"));
}

TEST_F(JsonLines, AnEmptyListNamesItsColumn) {
  EXPECT_THAT(rows_of("{\"a\": 1, \"tags\": []}\n"), ElementsAre("a;tags;", "1;;"));
}

TEST_F(JsonLines, ListsOfObjectsAreListsSideBySide) {
  EXPECT_THAT(
      rows_of(
          "{\"shown\": [{\"item\": \"x\", \"at\": {\"row\": 3}, \"tags\": [1]}, null, {\"at\": {\"row\": 5}},"
          " {\"item\": 8, \"click\": true}], \"user\": 1}\n"
          "{\"shown\": [{\"item\": \"y\"}], \"user\": 2}\n"
          "{\"shown\": [], \"user\": 3}\n"),
      ElementsAre("shown.item;shown.at.row;shown;shown.click;user;", "x|||8;3||5|;|||;|||1;1;", "y;;;;2;",
                  ";;;;3;"));
}

TEST_F(JsonLines, ColumnsThatAreNotWantedAreEmpty) {
  CsvOptions options;
  options.wanted = {"b.c", "a"};
  EXPECT_THAT(rows_of("{\"a\": 1, \"b\": {\"c\": 2, \"d\": 3}, \"e\": [1, 2]}\n", options),
              ElementsAre("a;b.c;b.d;e;", "1;2;;;"));
}

TEST_F(JsonLines, KeysThatFewObjectsHaveAreNamed) {
  std::string text;
  for (int k = 0; k < 999; ++k) text += "{\"user\": 1}\n";
  text += "{\"user\": 1, \"late\": 3}\n{\"user\": 2, \"bought\": 1}\n";
  EXPECT_EQ(rows_of(text).front(), "user;late;");
  CsvOptions options;
  options.block_bytes = 16;
  options.columns = {"bought"};
  const auto rows = rows_of(text, options);
  EXPECT_EQ(rows.front(), "bought;user;late;");
  EXPECT_EQ(rows[1000], ";1;3;");
  EXPECT_EQ(rows[1001], "1;2;;");
  CsvReader reader(directory_.file("log.jsonl"));
  EXPECT_THAT(
      user_error([&] { reader.column("usr"); }),
      HasSubstr("log.jsonl: no 'usr' in its first objects (nearest: 'user'; what few objects have is named"));
}

TEST_F(JsonLines, BadLinesAreBadRows) {
  EXPECT_THAT(
      rows_of("{\"a\": 1}\n{\"a\": \n[1]\n7\n{\"a\": 2} x\n{\"a\": 1e999}\n{\"a\": \"\xFF\"}\n{\"a\": 3}\n"),
      ElementsAre("a;", "1;",
                  AllOf(HasSubstr("log.jsonl:2: found no JSON object (column 7: syntax error"),
                        HasSubstr("expected one a line (jq -c . FILE)")),
                  HasSubstr("log.jsonl:3: found a JSON value that is no object"),
                  HasSubstr("log.jsonl:4: found a JSON value that is no object"),
                  HasSubstr("log.jsonl:5: found no JSON object"),
                  HasSubstr("log.jsonl:6: found no JSON object (number overflow"),
                  HasSubstr("log.jsonl:7: found no JSON object"), "3;"));
  EXPECT_THAT(rows_of("[ \n1\n"), ElementsAre("[;", "1;"));  // which is no JSON
  // Written over several lines, or as one array.
  EXPECT_THAT(user_error([&] { rows_of("{\n  \"a\": 1\n}\n"); }),
              AllOf(HasSubstr("log.jsonl:1: found no JSON object"), HasSubstr("jq -c . FILE")));
  EXPECT_THAT(user_error([&] { rows_of("[\n {\"a\": 1},\n {\"a\": 2}\n]"); }),
              HasSubstr("log.jsonl: found a JSON array, expected an object a line (jq -c '.[]' FILE > NEW)"));
}

TEST_F(JsonLines, AreImportedAsTextIs) {
  write("mapping.yaml", R"(
impressions:
  files: log.jsonl.gz
  explode: {columns: [page.shown.item, page.shown.click, page.shown.price], index: position}
  user: user.id
  item: page.shown.item
  time: {column: at, unit: iso8601}
  labels: {click: page.shown.click}
  request_features: {tab: {column: page.tab, kind: id}}
  candidate_features: {price: {column: page.shown.price, kind: real}, position: {kind: real}}
items: {files: items.jsonl, item: id, features: {tags: {kind: ids}}}
)");
  write("log.jsonl",
        "{\"user\": {\"id\": \"u1\"}, \"at\": \"2024-01-02T03:04:05Z\", \"page\": {\"tab\": 3, \"shown\": "
        "[{\"item\": \"a\", \"click\": true, \"price\": 2.5}, {\"item\": \"b\", \"click\": false}]}}\n"
        "{\"user\": {\"id\": \"u1\"}, \"at\": \"2024-01-02T03:05:05Z\", \"page\": {\"tab\": 4, \"shown\": "
        "[{\"item\": \"b\", \"click\": false}]}}\n");
  write("items.jsonl", "{\"id\": \"a\", \"tags\": [\"red\", 7]}\n{\"id\": \"b\"}\n");
  ASSERT_EQ(std::system(str("gzip '", directory_.file("log.jsonl"), "'").c_str()), 0);
  import_csv(options_);
  const auto data = dump(Dataset::open(options_.out));
  const auto& request = data.request(hashed_id("u1"), 1704164645000);
  ASSERT_EQ(request.candidates.size(), 2u);
  EXPECT_EQ(request.ids.at("tab"), 3);
  EXPECT_EQ(request.candidates[0].labels.at("click"), 1);
  EXPECT_EQ(request.candidates[0].reals.at("price"), 2.5f);
  EXPECT_EQ(request.candidates[1].item, hashed_id("b"));
  EXPECT_EQ(request.candidates[1].reals.at("position"), 1);
  EXPECT_EQ(data.request(hashed_id("u1"), 1704164705000).history.size(), 2u);
  EXPECT_THAT(data.items.at(hashed_id("a")).lists.at("tags"), ElementsAre(hashed_id("red"), 7));
}

TEST_F(JsonLines, WhatIsNullMeetsNoCondition) {
  write("mapping.yaml", R"(
impressions:
  files: log.jsonl
  user: user
  item: item
  time: {column: ts, unit: s}
  labels: {good: {column: stars, at_least: -1}, bought: {column: what, equals: buy}}
  event: {when: {column: stars, at_least: 1}}
)");
  write("log.jsonl",
        "{\"user\": 1, \"item\": 2, \"ts\": 10, \"stars\": 3, \"what\": null}\n"
        "{\"user\": 1, \"item\": 3, \"ts\": 20, \"stars\": null, \"what\": \"buy\"}\n");
  const auto report = import_csv(options_);
  EXPECT_THAT(report.label_rates, ElementsAre(0.5, 0.5));
  EXPECT_EQ(report.events, 1);
  write("log.jsonl", "{\"user\": 1, \"item\": 2, \"ts\": 10, \"stars\": \"many\", \"what\": null}\n");
  std::filesystem::remove_all(options_.out);
  EXPECT_THAT(user_error([&] { import_csv(options_); }),
              HasSubstr("log.jsonl:1:stars: found 'many', expected a number"));
}

}  // namespace
}  // namespace lime
