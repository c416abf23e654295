// What a mapping of `lime import csv` may say, and what it is told.
#include "io/import_csv_mapping.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/import_values.h"
#include "tests/io/import_csv_fixture.h"

namespace lime {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::IsNan;

class ImportCsvMapping : public CsvImport {};

TEST_F(ImportCsvMapping, NamesWhatIsWrongWithTheMapping) {
  write("log.csv", "user,item,ts,clicked\n1,2,100,1\n");
  const std::string path = options_.mapping;
  const auto failure_of = [&](const std::string& text) {
    write("mapping.yaml", text);
    return failure();
  };
  EXPECT_EQ(failure_of(str(minimal_mapping, "  lables: {x: y}\n")),
            path + ":8: impressions: unknown key 'lables' (nearest: 'labels')");
  EXPECT_EQ(failure_of("name: x\n"), path + ":1: no key 'impressions'");
  EXPECT_EQ(failure_of(""), path + ": found nothing, expected keys such as name");
  EXPECT_EQ(failure_of("impressions: {files: []}\n"),
            path + ":1: impressions.files: found an empty list, expected a list");
  EXPECT_EQ(failure_of(str(minimal_mapping, "  request_features: {user: {kind: id}}\n")),
            path + ": column 'user' of group request: every dataset has its own of that name");
  EXPECT_THAT(
      failure_of(str(minimal_mapping, "  request_features: {hour: {kind: number}}\n")),
      HasSubstr(":8: impressions.request_features.hour.kind: found 'number', expected id, ids or real"));
  EXPECT_THAT(failure_of(str(minimal_mapping, "  event: some\n")),
              HasSubstr(":8: impressions.event: found 'some'"));
  EXPECT_THAT(failure_of(str("time_zone: Oslo\n", minimal_mapping)),
              HasSubstr(":1: time_zone: found 'Oslo', expected hours from UTC"));
  EXPECT_THAT(failure_of("a: [\n"), HasSubstr("mapping.yaml:"));
  EXPECT_THAT(failure_of(str(minimal_mapping, "  day: date\n")), HasSubstr("log.csv:1: no column 'date'"));
  EXPECT_THAT(failure_of(str(minimal_mapping,
                             "events: {files: log.csv, user: user, item: item, time: {column: ts, unit: s}, "
                             "features: {a: {kind: id}}}\n"))
                  .substr(0, 10),
              path.substr(0, 10));
  EXPECT_EQ(user_error([&] { read_mapping(directory_.path()); }),
            directory_.path() + ": is a directory, expected a mapping (YAML)");
  std::string fortnight = minimal_mapping;
  fortnight.replace(fortnight.find("unit: s"), 7, "unit: d");
  EXPECT_THAT(failure_of(fortnight),
              HasSubstr(":6: impressions.time.unit: found 'd', expected s, ms, us or iso8601"));
  fortnight.replace(fortnight.find(", unit: d"), 9, "");
  EXPECT_THAT(failure_of(fortnight),
              HasSubstr(":6: impressions.time: no key 'unit', expected s, ms, us or iso8601"));
  fortnight.replace(fortnight.find("{column: ts}"), 12, "ts");
  EXPECT_THAT(failure_of(fortnight),
              HasSubstr(":6: impressions.time: found 'ts', expected {column: ts, unit: s}"));
  EXPECT_THAT(failure_of(str(minimal_mapping, "  request_features: {hour: hr}\n")),
              HasSubstr(".hour: found 'hr', expected what it holds: {kind: id}, ids or real"));
  EXPECT_THAT(failure_of(str(minimal_mapping, "  request_features: {hour: {column: hr}}\n")),
              HasSubstr(".hour: no key 'kind', expected id, ids or real"));
  for (const std::string null : {"NULL", "[x, NULL]", "~"})
    EXPECT_THAT(failure_of(str(minimal_mapping, "  missing: ", null, "\n")),
                HasSubstr(":8: impressions.missing: found null, expected texts; in quotes NULL is one"));
  EXPECT_THAT(failure_of(str(minimal_mapping, "  missing: []\n")), HasSubstr("missing: found an empty list"));
}

// What strptime would pass over, or take from the machine's own zone.
TEST_F(ImportCsvMapping, FormatsThatReadAnotherTimeAreRefused) {
  write("log.csv", "user,item,ts,clicked\n1,2,%Z 01.03.2024 12:00,1\n");
  const auto mapping_of = [](const std::string& format) {
    std::string mapping = minimal_mapping;
    return mapping.replace(mapping.find("unit: s"), 7, str("format: \"", format, "\""));
  };
  for (const std::string format : {"%d.%m.%Y %H:%M %Z", "%EZ", "%_Z"}) {
    write("mapping.yaml", mapping_of(format));
    EXPECT_THAT(failure(), HasSubstr(":6: impressions.time.format: found %Z, expected %z (+0100)")) << format;
  }
  for (const std::string format : {"%s", "%-s"}) {
    write("mapping.yaml", mapping_of(format));
    EXPECT_THAT(failure(), HasSubstr(":6: impressions.time.format: found %s, expected `unit: s`")) << format;
  }
  write("mapping.yaml", mapping_of("%%Z %d.%m.%Y %H:%M"));
  EXPECT_EQ(import().request(1, 1709294400000).candidates.size(), 1u);
}

// As Hive and MySQL write what is not there.
TEST_F(ImportCsvMapping, TextsThatStandForNoValue) {
  write("mapping.yaml", str(minimal_mapping, R"(
  missing: ['NULL', '\N']
  weights: {dwell: dwell}
  request_features: {city: {kind: id}}
  candidate_features: {price: {kind: real}}
users: {files: users.csv, user: user, missing: 'NULL', features: {job: {kind: id}, likes: {kind: ids}}}
)"));
  write("log.csv", "user,item,ts,clicked,dwell,city,price\n1,2,5,1,NULL,\\N,NULL\n2,3,6,1,7,null,8\n");
  write("users.csv", "user,job,likes\n1,NULL,NULL\n2,\\N,5\n");
  const auto data = import();
  const auto& request = data.request(1, 5000);
  EXPECT_EQ(request.candidates[0].weights.at("dwell"), 0);
  EXPECT_EQ(request.ids.at("city"), -1);
  EXPECT_THAT(request.candidates[0].reals.at("price"), IsNan());
  EXPECT_EQ(data.request(2, 6000).ids.at("city"), hashed_id("null"));  // another text
  EXPECT_EQ(data.users.at(1).ids.at("job"), -1);
  EXPECT_THAT(data.users.at(1).lists.at("likes"), IsEmpty());
  EXPECT_EQ(data.users.at(2).ids.at("job"), hashed_id("\\N"));  // each section has its own
  options_.writer.overwrite = true;
  write("log.csv", "user,item,ts,clicked,dwell,city,price\n1,2,5,NULL,1,1,1\n");
  EXPECT_THAT(failure(), HasSubstr("log.csv:2:clicked: found '', expected a number"));
}

TEST_F(ImportCsvMapping, ANumberBeyondFloatsIsABadRow) {
  write("mapping.yaml",
        str(minimal_mapping,
            "  candidate_features: {price: {kind: real}, much: {column: price, kind: real, log1p: true}}\n"));
  write("log.csv", "user,item,ts,clicked,price\n1,2,5,1,1.7976931348623157e308\n1,3,6,1,3.4e38\n");
  EXPECT_THAT(
      failure(),
      HasSubstr("log.csv:2:price: found '1.7976931348623157e308', expected a number of at most 3.4e38"));
  options_.max_bad_rows = 1;
  EXPECT_FLOAT_EQ(import().request(1, 6000).candidates[0].reals.at("price"), 3.4e38f);
}

// A list that is not there is an empty one, and a value that is not there no item.
TEST_F(ImportCsvMapping, ListsThatAreNotThere) {
  write("mapping.yaml", R"(
impressions:
  files: log.csv
  missing: '\N'
  explode: {columns: [shown, clicks], separator: ";"}
  user: user
  item: shown
  time: {column: ts, unit: s}
  labels: {click: {column: clicks, at_least: 1}}
)");
  write("log.csv", "user,ts,shown,clicks\n1,5,7;8,1;\\N\n1,6,\\N,\\N\n1,7,9;\\N,1;1\n");
  options_.max_bad_rows = 1;
  const auto data = import();
  EXPECT_EQ(data.requests.size(), 2u);
  EXPECT_EQ(data.request(1, 5000).candidates[1].labels.at("click"), 0);
  EXPECT_THAT(report_.bad_examples, ElementsAre(HasSubstr("log.csv:4:shown: found '', expected an id")));
}

TEST_F(ImportCsvMapping, AListThatIsReadAsOneIdIsToldOf) {
  const std::string mapping = str(minimal_mapping, R"(
  candidate_features: {genre: {kind: id}, shelf: {column: genre, kind: ids}, place: {kind: id}}
items: {files: items.csv, item: item, features: {tags: {kind: id}}}
)");
  write("mapping.yaml", mapping);
  write("items.csv", "item,tags\n2,\"[1, 2]\"\n3,a|b\n");  // the bar of a text is a character
  write("log.csv", R"({"user": 1, "item": 2, "ts": 5, "clicked": 1, "genre": "solo", "place": 1}
{"user": 1, "item": 3, "ts": 6, "clicked": 0, "genre": ["war", "love"], "place": 2}
)");
  import();
  EXPECT_THAT(report_.notes,
              testing::IsSupersetOf(
                  {"genre reads lists such as 'war|love' as one id each; kind: ids reads their values",
                   "tags reads lists such as '[1, 2]' as one id each; kind: ids reads their values"}));
  write("items.csv", "item,tags\n2,[1\n3,a|b\n");
  write("log.csv", R"({"user": 1, "item": 2, "ts": 5, "clicked": 1, "genre": "solo", "place": 1})");
  options_.writer.overwrite = true;
  import();
  EXPECT_THAT(report_.notes, testing::Not(testing::Contains(HasSubstr("reads lists"))));
}

}  // namespace
}  // namespace lime
