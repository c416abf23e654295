// What a place within an epoch depends on, and what it does not.
#include "io/reading_order.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/error.h"
#include "tests/io/random_log.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

using testing::HasSubstr;

ReadingOrder order(int64_t window, std::vector<std::pair<std::string, int64_t>> days) {
  return {window, std::move(days)};
}
std::string refusal(const ReadingOrder& before, const ReadingOrder& now) {
  return user_error([&] { refuse_other_order(before, now, "checkpoint c"); });
}

TEST(ReadingOrder, DaysMayBeAddedAtTheEnd) {
  const auto before = order(8, {{"2024-01-01", 1}, {"2024-01-02", 2}});
  EXPECT_NO_THROW(refuse_other_order(before, before, "c"));
  EXPECT_NO_THROW(
      refuse_other_order(before, order(8, {{"2024-01-01", 1}, {"2024-01-02", 2}, {"2024-01-03", 3}}), "c"));
}

TEST(ReadingOrder, WhatMovesAPlaceIsNamed) {
  const auto before = order(8, {{"2024-01-01", 1}, {"2024-01-02", 2}});
  EXPECT_THAT(refusal(before, order(8, {{"2024-01-01", 1}})),
              HasSubstr("checkpoint c stands within an epoch: data.train lacks 2024-01-02"));
  EXPECT_THAT(refusal(before, order(8, {{"2024-01-02", 2}, {"2024-01-03", 3}})),
              HasSubstr("data.train has 2024-01-02 in the place of 2024-01-01"));
  EXPECT_THAT(refusal(before, order(8, {{"2024-01-01", 1}, {"2024-01-02", 9}})),
              HasSubstr("2024-01-02 has other requests or parts than it had"));
  EXPECT_THAT(refusal(before, order(0, before.days)),
              HasSubstr("requests were shuffled in windows of 8, and now are not shuffled"));
}

TEST(ReadingOrder, TellsDatasetsApart) {
  const TempDirectory temp;
  const Dataset seven = write_log(make_random_log(1, {60, 900, 500, 2}), temp.file("7"), small_writer(7));
  const Dataset six = write_log(make_random_log(1, {60, 900, 500, 2}), temp.file("6"), small_writer(6));
  const Dataset other = write_log(make_random_log(2, {60, 900, 501, 2}), temp.file("o"), small_writer(7));
  std::vector<std::string> days;
  for (const auto& day : seven.days()) days.push_back(day.day);
  const ReadingOrder before = reading_order(seven, days, 8);
  EXPECT_EQ(before.shuffle_window, 8);
  EXPECT_EQ(before, reading_order(seven, days, 8));
  EXPECT_THAT(refusal(before, reading_order(six, days, 8)), HasSubstr("other requests or parts"));
  EXPECT_THAT(refusal(before, reading_order(other, days, 8)), HasSubstr("other requests or parts"));
}

}  // namespace
}  // namespace lime
