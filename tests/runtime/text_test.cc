#include "runtime/text.h"

#include <gtest/gtest.h>

#include <cmath>

namespace lime {
namespace {

TEST(Joined, WritesItemsAsStrDoes) {
  EXPECT_EQ(joined(std::vector<std::string>{"a", "", "c"}), "a, , c");
  EXPECT_EQ(joined(std::vector<int64_t>{64, 1024}, ","), "64,1024");
  EXPECT_EQ(joined(std::vector<std::string>{}), "");
}

TEST(Trimmed, LeavesWhatStandsBetweenSpacesAndTabs) {
  EXPECT_EQ(trimmed(" \t a b\t"), "a b");
  EXPECT_EQ(trimmed("a"), "a");
  EXPECT_EQ(trimmed(" \t"), "");
  EXPECT_EQ(trimmed(""), "");
}

TEST(Split, KeepsEmptyWords) {
  using Words = std::vector<std::string>;
  EXPECT_EQ(split("train.adamw.beta1", '.'), (Words{"train", "adamw", "beta1"}));
  EXPECT_EQ(split("a..b.", '.'), (Words{"a", "", "b", ""}));
  EXPECT_EQ(split("", '.'), Words{""});
}

TEST(Grouped, SetsThousandsApartWithTheTypographicMinus) {
  EXPECT_EQ(grouped(int64_t{999}), "999");
  EXPECT_EQ(grouped(int64_t{1234567}), "1,234,567");
  EXPECT_EQ(grouped(1234567.891, 2), "1,234,567.89");
  EXPECT_EQ(grouped(-0.001234, 4), "\u22120.0012");
  EXPECT_EQ(grouped(-0.0, 2), "0.00");
  EXPECT_EQ(grouped(-0.001, 2), "0.00");
  EXPECT_EQ(grouped(NAN, 2), "-");
}

TEST(NearestWord, IsNearestForItsLength) {
  EXPECT_EQ(nearest_word("time_ms", {"user_id", "timestamp_ms"}), "timestamp_ms");
  EXPECT_EQ(nearest_word("autor", {"item", "author", "auto_play"}), "author");
  EXPECT_EQ(nearest_word("item", {"time", "item_id"}), "item_id");  // though two swaps make "time" of it
  EXPECT_EQ(nearest_word("anything", {}), "");
}

TEST(LikelyWord, IsNearOrNothing) {
  EXPECT_EQ(likely_word("tranin", {"train", "eval"}), "train");
  EXPECT_EQ(likely_word("rtian", {"train", "eval"}), "train");  // swapped neighbours are one mistake
  EXPECT_EQ(likely_word("abcdef", {"train", "eval"}), std::nullopt);
  EXPECT_EQ(likely_word("x", {"y"}), std::nullopt);
  EXPECT_EQ(likely_word("foo", {"from"}), "from");
  EXPECT_EQ(likely_word("foo", {"from"}, 1), std::nullopt);
}

TEST(DidYouMean, SuggestsOrIsSilent) {
  EXPECT_EQ(did_you_mean("train"), " (did you mean 'train'?)");
  EXPECT_EQ(did_you_mean(std::nullopt), "");
}

}  // namespace
}  // namespace lime
