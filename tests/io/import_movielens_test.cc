#include "io/import_movielens.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/import_values.h"
#include "tests/io/import_dump.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr int64_t second = 1000;
constexpr int64_t evening = 978307199;  // 2000-12-31 23:59:59 UTC, in seconds

class MovieLensTest : public testing::Test {
 protected:
  MovieLensTest() {
    options_.out = directory_.file("dataset");
    options_.writer.parts = 1;
  }
  std::string write(const std::string& name, const std::string& text) {
    write_file(directory_.file(name), text);
    return directory_.file(name);
  }
  DumpedDataset import() {
    report_ = import_movielens(options_);
    return dump(Dataset::open(options_.out));
  }
  void expect_ratings(const DumpedDataset& data) {
    ASSERT_EQ(data.requests.size(), 3U);
    const auto& last = data.request(1, (evening + 1) * second);
    EXPECT_EQ(last.day, "2001-01-01");
    EXPECT_EQ(last.candidates[0].item, 30);
    EXPECT_EQ(last.candidates[0].labels.at("liked"), 0);
    EXPECT_EQ(last.candidates[0].weights.at("rating"), 3);
    ASSERT_EQ(last.history.size(), 1U);
    EXPECT_EQ(last.history[0].item, 20);
    EXPECT_EQ(last.history[0].ids.at("rating"), 8);
    const auto& first = data.request(1, evening * second);
    EXPECT_EQ(first.day, "2000-12-31");
    EXPECT_EQ(first.candidates[0].labels.at("liked"), 1);
    EXPECT_EQ(first.history.size(), 0U);
    EXPECT_EQ(report_.requests, 3);
    EXPECT_DOUBLE_EQ(report_.label_rates[0], 2.0 / 3);
  }

  TempDirectory directory_;
  MovieLensOptions options_;
  ImportReport report_;
};

TEST_F(MovieLensTest, Reads100K) {
  options_.ratings =
      write("u.data", str("1\t30\t3\t", evening + 1, "\n1\t20\t4\t", evening, "\n2\t20\t5\t", evening, "\n"));
  options_.users = write("u.user", "1|24|M|technician|85711\n2|53|F|other|94043\n");
  options_.movies = write(
      "u.item", "20|Film \xE9t\xE9 (1995)|01-Jan-1995||http://x|0|1|0|1|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0\n");
  const auto data = import();
  expect_ratings(data);
  EXPECT_EQ(data.users.at(1).ids.at("gender"), hashed_id("M"));
  EXPECT_EQ(data.users.at(2).ids.at("age_group"), 53);
  EXPECT_EQ(data.users.at(1).ids.at("occupation"), hashed_id("technician"));
  EXPECT_THAT(data.items.at(20).lists.at("genres"), ElementsAre(1, 3));
}

TEST_F(MovieLensTest, Reads1M) {
  options_.ratings = write(
      "ratings.dat", str("1::30::3::", evening + 1, "\n1::20::4::", evening, "\n2::20::5::", evening, "\n"));
  options_.users = write("users.dat", "1::F::1::10::48067\n2::M::56::16::70072\n");
  options_.movies =
      write("movies.dat",
            "20::Am\xE9lie: a \"film\", with commas (2001)::Comedy|Romance\n30::Other (1999)::Drama\n");
  const auto data = import();
  expect_ratings(data);
  EXPECT_EQ(data.users.at(1).ids.at("gender"), hashed_id("F"));
  EXPECT_EQ(data.users.at(2).ids.at("age_group"), 56);
  EXPECT_EQ(data.users.at(2).ids.at("occupation"), 16);
  EXPECT_THAT(data.items.at(20).lists.at("genres"), ElementsAre(hashed_id("Comedy"), hashed_id("Romance")));
}

TEST_F(MovieLensTest, Reads20M) {
  options_.ratings = write("ratings.csv", str("userId,movieId,rating,timestamp\r\n1,30,3.0,", evening + 1,
                                              "\r\n1,20,4.0,", evening, "\r\n2,20,4.5,", evening, "\r\n"));
  options_.movies = write(
      "movies.csv", "movieId,title,genres\n20,\"Film, The (1995)\",Comedy|Drama\n30,X,(no genres listed)\n");
  const auto data = import();
  expect_ratings(data);
  EXPECT_EQ(data.request(2, evening * second).candidates[0].weights.at("rating"), 4.5F);
  EXPECT_EQ(data.events.at(2)[0].ids.at("rating"), 9);
  EXPECT_THAT(data.items.at(20).lists.at("genres"), ElementsAre(hashed_id("Comedy"), hashed_id("Drama")));
  EXPECT_THAT(data.items.at(30).lists.at("genres"), ElementsAre());
}

TEST_F(MovieLensTest, RatingsOfOneSecondDoNotSeeEachOther) {
  options_.ratings = write("u.data", "1\t30\t3\t50\n1\t20\t4\t50\n1\t10\t4\t50\n");
  for (const auto& request : import().requests) EXPECT_EQ(request.history.size(), 0U);
}

TEST_F(MovieLensTest, ThresholdAndTimeZoneAreOptions) {
  options_.ratings = write("ratings.dat", str("1::20::8::", evening, "\n1::30::7::", evening, "\n"));
  options_.threshold = 8;
  options_.time_zone = "+08:00";
  const auto data = import();
  EXPECT_EQ(data.requests[0].day, "2001-01-01");
  EXPECT_DOUBLE_EQ(report_.label_rates[0], 0.5);
}

TEST_F(MovieLensTest, FilesRatingsUnderTheFirstDayOfAPeriod) {
  options_.ratings = write("u.data", str("1\t20\t3\t", evening, "\n1\t30\t3\t", evening + 86400 * 40, "\n"));
  options_.period = "month";
  auto data = import();
  EXPECT_EQ(data.requests[0].day, "2000-12-01");
  EXPECT_EQ(data.requests[1].day, "2001-02-01");
  EXPECT_EQ(data.requests[1].time, (evening + 86400 * 40) * second);
  options_.period = "year";
  options_.writer.overwrite = true;
  data = import();
  EXPECT_EQ(data.requests[0].day, "2000-01-01");
  EXPECT_EQ(data.requests[1].day, "2001-01-01");
  options_.period = "week";
  EXPECT_THAT([&] { import(); }, testing::ThrowsMessage<UserError>(HasSubstr("period: found 'week'")));
}

TEST_F(MovieLensTest, NamesFileLineAndColumn) {
  options_.ratings = write("ratings.dat", "1::20::8::100\n1::20::good::100\n");
  EXPECT_THAT([&] { import(); }, testing::ThrowsMessage<UserError>(
                                     HasSubstr("ratings.dat:2:rating: found 'good', expected a number")));
  options_.ratings = write("ratings.csv", "userId,movieId,score,timestamp\n1,2,3,4\n");
  EXPECT_THAT([&] { import(); },
              testing::ThrowsMessage<UserError>(HasSubstr("ratings.csv:1: no column 'rating'")));
  options_.ratings = write("ratings.dat", "1::20::8::100\n1::20::8::999999999999\n");  // of the year 33658
  EXPECT_THAT([&] { import(); },
              testing::ThrowsMessage<UserError>(
                  HasSubstr("ratings.dat:2:timestamp: found '999999999999', expected s since 1970")));
  options_.ratings = write("ratings.txt", "1 2 3 4\n");
  EXPECT_THAT([&] { import(); }, testing::ThrowsMessage<UserError>(
                                     HasSubstr("ratings.txt:1: found '1 2 3 4', expected columns")));
}

TEST_F(MovieLensTest, AddsWholePeriods) {
  options_.period = "month";
  options_.ratings = write("u.data", str("1\t30\t3\t", evening, "\n"));
  import();
  options_.writer.add = true;
  options_.ratings = write(
      "u.data", str("1\t30\t3\t", evening, "\n1\t20\t4\t", evening + 1, "\n2\t20\t4\t", evening - 1, "\n"));
  const auto data = import();
  EXPECT_THAT(report_.added->days, ElementsAre("2001-01-01"));
  EXPECT_EQ(report_.added->known_requests, 2);
  EXPECT_EQ(report_.added->known_events, 2);
  EXPECT_EQ(data.request(1, (evening + 1) * second).history.size(), 1u);
}

}  // namespace
}  // namespace lime
