// Requests by themselves: what is set, and what does not fit the model.
#include "serving/scoring_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "tests/serving/served_run.h"

namespace lime {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Group = ScoringRequest::Group;

TEST(ScoringRequest, ThatDoesNotFitIsRefused) {
  ServedRun run;
  run.train(1);
  const Scorer scorer(run.options());
  ScoringRequest request = scorer.make_request();
  const std::vector<int64_t> two = {1, 2}, offsets = {0, 2, 1};
  const auto score = [&] {
    std::vector<float> logits(2);
    scorer.score(request, std::vector<int64_t>{1}, logits);
  };
  EXPECT_THAT(
      user_error([&] { request.set_ids(Group::history, "itme", two); }),
      HasSubstr("features.history: the model has no feature 'itme'; it has item, topics, action, age"));
  EXPECT_THAT(user_error([&] { request.set_ids(Group::history, "topics", two); }),
              HasSubstr("features.history: 'topics' holds ids values, found id"));
  EXPECT_THAT(user_error([&] { request.set_lists(Group::history, "topics", two, offsets); }),
              HasSubstr("expected ascending offsets from 0 to 2"));
  request.set_ids(Group::history, "item", two);
  EXPECT_THAT(user_error(score), HasSubstr("expected"));
  EXPECT_THAT(user_error(score), HasSubstr("one for each event"));
  request.clear();
  request.set_ids(Group::user, "hour", two);
  EXPECT_THAT(user_error(score), HasSubstr("features.user: 'hour' has 2 values, expected 1"));
  request.clear();
  const std::vector<int64_t> seven(7, 1), lists = {0, 1, 2, 3, 4, 5, 6, 7};
  for (const char* feature : {"item", "action", "age"}) request.set_ids(Group::history, feature, seven);
  request.set_lists(Group::history, "topics", seven, lists);
  EXPECT_THAT(user_error(score), HasSubstr("a history of 7 events, expected at most data.max_history (6)"));
}

// A caller gives numbers, not buckets.
TEST(ScoringRequest, TakesNumbersNotBuckets) {
  ServedRun run({{"features.buckets.price", "[0.25, 0.5]"}, {"features.history", "[item, price, age]"}});
  run.train(1);
  ScoringRequest request = Scorer(run.options()).make_request();
  constexpr float missing = std::numeric_limits<float>::quiet_NaN();
  request.set_reals(Group::history, "price", std::vector<float>{0.1f, 0.25f, 7, missing});
  EXPECT_THAT(request.history().id_columns.at(1).ids, ElementsAre(0, 1, 2, -1));
  EXPECT_THAT(user_error([&] { request.set_ids(Group::history, "price", std::vector<int64_t>{1}); }),
              HasSubstr("'price' holds real values, found id"));
  ServedRun raw(Overrides{{"features.history", "[item, price, age]"}});
  raw.train(1);
  ScoringRequest numbers = Scorer(raw.options()).make_request();
  numbers.set_reals(Group::history, "price", std::vector<float>{0.5f, missing});
  EXPECT_THAT(numbers.history().real, ElementsAre(0.5f, 0)) << "as in training";
  EXPECT_THAT(user_error([&] {
                numbers.set_reals(Group::history, "price",
                                  std::vector<float>{std::numeric_limits<float>::infinity()});
              }),
              HasSubstr("value 0 is inf, expected finite numbers"));
}

// A request of a run with `made` scored by one with `scored`: the refusal.
std::string refusal(const Overrides& made, const Overrides& scored) {
  ServedRun one(made), other(scored);
  one.train(1), other.train(1);
  std::vector<float> logits(2);
  const ScoringRequest request = Scorer(one.options()).make_request();
  return user_error([&] { Scorer(other.options()).score(request, std::vector<int64_t>{1}, logits); });
}

TEST(ScoringRequest, OfAnotherModelIsRefused) {
  EXPECT_THAT(
      refusal({{"features.history", "[item, price, age]"}, {"features.buckets.price", "[0.25, 0.5]"}},
              {{"features.history", "[item, price, age]"}, {"features.buckets.price", "[0.25, 0.6]"}}),
      HasSubstr("features.history: the request was made for another model"));
  EXPECT_THAT(
      refusal({{"features.age_buckets", "20"}}, {}),
      HasSubstr("features.age_buckets: the request was made for another model, with 20, expected 32"));
  EXPECT_THAT(refusal({{"data.max_history", "9"}}, {}),
              HasSubstr("data.max_history: the request was made for another model, with 9, expected 6"));
  const ResolvedSpec without_age;  // whose buckets are nobody's
  EXPECT_NO_THROW(ScoringRequest(without_age, 20, 6).check_made_for(without_age, 32, 6));
}

}  // namespace
}  // namespace lime
