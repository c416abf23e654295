#include "io/import_values.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <set>
#include <sstream>

#include "tests/support/test_support.h"

namespace lime {
namespace {

using testing::ElementsAre;

TEST(ImportValuesTest, FeatureIdsOfNumbersAreTheNumbers) {
  EXPECT_EQ(feature_id("0"), 0);
  EXPECT_EQ(feature_id("9155697141"), 9155697141);
  EXPECT_EQ(feature_id("1.0"), 1);
  EXPECT_EQ(feature_id("9155697141.0"), 9155697141);
}

TEST(ImportValuesTest, EmptyAndNegativeFeatureIdsAreMissing) {
  for (const char* text : {"", "-124", "-124.0", "-1"}) EXPECT_EQ(feature_id(text), -1) << text;
}

TEST(ImportValuesTest, TextIsHashedTheSameForEver) {
  EXPECT_EQ(hashed_id(""), 0x2d06800538d394c2);  // XXH3's own test vector
  std::set<int64_t> ids;
  for (const char* text :
       {"full_active", "middle_active", "[100,1k)", "500+", "1.5", "18446744073709551615", "nan", "12e4"}) {
    EXPECT_GE(feature_id(text), 0) << text;
    EXPECT_EQ(feature_id(text), hashed_id(text)) << text;
    ids.insert(feature_id(text));
  }
  EXPECT_EQ(ids.size(), 8U);
}

TEST(ImportValuesTest, EntityIdsRefuseEmptyAndNegative) {
  EXPECT_EQ(entity_id("17"), 17);
  EXPECT_EQ(entity_id("u-17"), hashed_id("u-17"));
  EXPECT_EQ(entity_id("17.0"), 17);  // as programs write ids that keep them as floats
  EXPECT_EQ(entity_id("-17.0"), std::nullopt);
  EXPECT_EQ(entity_id(""), std::nullopt);
  EXPECT_EQ(entity_id("-17"), std::nullopt);
}

// The page's Python takes the same texts for numbers. Its xxhash is one that tells of the texts it is asked
// for.
TEST(ImportValuesTest, TheDocumentedPythonGivesTheSameIds) {
  if (std::system("python3 -c '' 2> /dev/null") != 0) GTEST_SKIP() << "no python3";
  const std::string page = read_file(LIME_SOURCE_DIR "/docs/import_csv.md"), begin = "```python\n";
  const size_t at = page.find(begin);
  ASSERT_NE(at, std::string::npos);
  std::string snippet;
  std::istringstream lines(
      page.substr(at + begin.size(), page.find("```", at + begin.size()) - at - begin.size()));
  for (std::string line; std::getline(lines, line);)
    snippet += line.substr(std::min<size_t>(2, line.size())) + "\n";
  TempDirectory temp;
  write_file(temp.file("xxhash.py"), "def xxh3_64_intdigest(text):\n    return -1\n");  // & gives 2^63 - 1
  const std::vector<std::string> texts = {"17",
                                          "17.0",
                                          "17.",
                                          "017",
                                          "9007199254740991.0",
                                          "9007199254740992.0",
                                          "9007199254740993",
                                          "9223372036854775806",
                                          "9223372036854775808",
                                          "18446744073709551615",
                                          "SKU-0001",
                                          "1.5",
                                          "12e4",
                                          "[1]",
                                          " 7"};
  std::string list;
  for (const auto& text : texts) list += "'" + text + "', ";
  write_file(temp.file("ids.py"), snippet + "for text in [" + list + "]:\n    print(lime_id(text))\n");
  ASSERT_EQ(std::system(str("PYTHONPATH=", temp.path(), " python3 ", temp.file("ids.py"), " > ",
                            temp.file("ids"), " 2>&1")
                            .c_str()),
            0)
      << read_file(temp.file("ids"));
  std::istringstream ids(read_file(temp.file("ids")));
  for (const auto& text : texts) {
    std::string id;
    ids >> id;
    const int64_t own = feature_id(text);
    EXPECT_EQ(id, std::to_string(own == hashed_id(text) ? std::numeric_limits<int64_t>::max() : own)) << text;
  }
  EXPECT_EQ(feature_id("SKU-0001"), 313679405992268013);
}

TEST(ImportValuesTest, SplitsListsAndLeavesOutMissing) {
  std::vector<int64_t> ids;
  split_ids("12,65", ",", ids);
  EXPECT_THAT(ids, ElementsAre(12, 65));
  split_ids("12,,-1,65,", ",", ids);
  EXPECT_THAT(ids, ElementsAre(12, 65));
  split_ids("a||b", "||", ids);
  EXPECT_THAT(ids, ElementsAre(hashed_id("a"), hashed_id("b")));
  split_ids("['a', 7]", ",", ids);
  EXPECT_THAT(ids, ElementsAre(hashed_id("a"), 7));
  split_ids("", ",", ids);
  EXPECT_THAT(ids, ElementsAre());
}

TEST(ImportValuesTest, TimesMayHaveAFormat) {
  constexpr int64_t hour = 3'600'000;
  const std::string american = "%m/%d/%Y %I:%M:%S %p";
  EXPECT_EQ(read_time("11/15/2019 1:22:32 PM", american, 0), 1573824152000);
  EXPECT_EQ(read_time("11/15/2019 1:22:32 PM", american, 2 * hour), 1573824152000 - 2 * hour);
  EXPECT_EQ(read_time("15.11.2019", "%d.%m.%Y", 0), 1573776000000);
  EXPECT_EQ(read_time("15/Nov/2019:13:22:32 +0100", "%d/%b/%Y:%H:%M:%S %z", 5 * hour), 1573824152000 - hour);
  EXPECT_EQ(read_time("29.02.2020", "%d.%m.%Y", 0), 1582934400000);
  EXPECT_EQ(read_time("15.11.2019 +0100", "%d.%m.%Y %_z", 5 * hour), 1573776000000 - hour);
  EXPECT_EQ(read_time("15.11.2019 %z", "%d.%m.%Y %%z", 5 * hour), 1573776000000 - 5 * hour);
  for (const char* wrong : {"", "29.02.2019", "31.04.2020", "15.13.2020", "15.11.2019 ", "x"})
    EXPECT_EQ(read_time(wrong, "%d.%m.%Y", 0), std::nullopt) << wrong;
  EXPECT_EQ(read_time(std::string("15.11.2019\0x", 12), "%d.%m.%Y", 0), std::nullopt);
}

TEST(ImportValuesTest, DaysOfTimes) {
  constexpr int64_t utc8 = 8 * 3600 * 1000;
  EXPECT_EQ(day_of(0, 0), "1970-01-01");
  EXPECT_EQ(day_of(-1, 0), "1969-12-31");
  EXPECT_EQ(day_of(1651939199999, utc8), "2022-05-07");
  EXPECT_EQ(day_of(1651939200000, utc8), "2022-05-08");
  EXPECT_EQ(day_of(1651939200000, 0), "2022-05-07");
}

TEST(ImportValuesTest, ReadsDaysInBothForms) {
  EXPECT_EQ(read_day("20240229"), "2024-02-29");
  EXPECT_EQ(read_day("2024-02-29"), "2024-02-29");
  for (const char* text : {"20230229", "2024-13-01", "2024-2-29", "2024-02-29 ", "240229", "", "2024022a"})
    EXPECT_EQ(read_day(text), std::nullopt) << text;
}

TEST(ImportValuesTest, ReadsIso8601) {
  constexpr int64_t utc8 = 8 * 3600 * 1000;
  EXPECT_EQ(read_iso8601("1970-01-01T00:00:01Z", utc8), 1000);
  EXPECT_EQ(read_iso8601("2022-05-08T00:00:00.123456+08:00", 0), 1651939200123);
  EXPECT_EQ(read_iso8601("2022-05-08 00:00", utc8), 1651939200000);
  EXPECT_EQ(read_iso8601("2022-05-08", utc8), 1651939200000);
  EXPECT_EQ(read_iso8601("2022-05-07T10:30:00-0530", 0), 1651939200000);
  for (const char* text : {"", "2022-05-08T", "2022-05-08T24:00", "2022-05-08T10:61", "2022-05-08T10:30:00.",
                           "2022-05-08T10:30:00+99:00", "2022-02-30T10:30", "1651939200"})
    EXPECT_EQ(read_iso8601(text, 0), std::nullopt) << text;
}

}  // namespace
}  // namespace lime
