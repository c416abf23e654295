// The file of an evaluation's rows.
#include "launch/scored_rows.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "runtime/error.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

std::vector<ScoredRow> some_rows() {
  return {{0.5f, 1, 3, 0, 7, 5}, {-0.5f, 0, 0, 1, 7}, {0.25f, 1, 1, 0, -3, 2}, {0.5f, 0, 2, 0, 7, 9}};
}

bool same(const ScoredRow& a, const ScoredRow& b) {
  return a.logit == b.logit && a.label == b.label && a.watch_time == b.watch_time && a.day == b.day &&
         a.user == b.user && a.request == b.request;
}

TEST(ScoredRows, ComeBackInTheOrderOfTheirValues) {
  const TempDirectory temp;
  const std::string one = temp.file("one.h5"), other = temp.file("other.h5");
  auto rows = some_rows();
  {
    ScoredRowsWriter writer(one, {"2024-01-01", "2024-01-02"});
    writer.add("running", "click", rows);
    writer.add("frozen", "click", {});
    EXPECT_FALSE(std::filesystem::exists(one));  // not before it is whole
    writer.finish();
  }
  std::reverse(rows.begin(), rows.end());
  ScoredRowsWriter writer(other, {"2024-01-01", "2024-01-02"});
  writer.add("running", "click", rows);
  writer.finish();

  const ScoredRowsFile file(one);
  EXPECT_THAT(file.days(), testing::ElementsAre("2024-01-01", "2024-01-02"));
  EXPECT_TRUE(file.read("frozen", "click").empty());
  const auto read = file.read("running", "click"), again = ScoredRowsFile(other).read("running", "click");
  ASSERT_EQ(read.size(), 4u);
  EXPECT_TRUE(std::equal(read.begin(), read.end(), again.begin(), same));
  EXPECT_TRUE(same(read[0], some_rows()[2]));
  EXPECT_TRUE(same(read[1], some_rows()[0]));
  EXPECT_TRUE(same(read[2], some_rows()[3]));
  EXPECT_TRUE(same(read[3], some_rows()[1]));
}

TEST(ScoredRows, NothingIsLeftOfAnUnfinishedFile) {
  const TempDirectory temp;
  { ScoredRowsWriter writer(temp.file("rows.h5"), {}); }
  EXPECT_TRUE(std::filesystem::is_empty(temp.path()));
  EXPECT_THROW(ScoredRowsWriter(temp.file("no/rows.h5"), {}), UserError);
}

TEST(ScoredRows, AnotherFileIsRefused) {
  const TempDirectory temp;
  EXPECT_THROW(ScoredRowsFile(temp.file("none.h5")), UserError);
  Hdf5File other(temp.file("other.h5"), Hdf5File::Mode::create);
  other.close();
  EXPECT_THROW(ScoredRowsFile(temp.file("other.h5")), UserError);
  Hdf5File later(temp.file("later.h5"), Hdf5File::Mode::create);
  later.set_attribute("/", "format", std::string("lime-rows"));
  later.set_attribute("/", "version", int64_t{3});
  later.close();
  EXPECT_THAT(user_error([&] { ScoredRowsFile(temp.file("later.h5")); }),
              testing::HasSubstr("later.h5: found version 3, expected 2"));
}

}  // namespace
}  // namespace lime
