// Numbers as ids of buckets: where they are cut, and that whatever reads a column agrees.
#include "io/number_buckets.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "io/item_features.h"
#include "io/number_boundaries.h"
#include "tests/io/random_log.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr float inf = std::numeric_limits<float>::infinity();

TEST(NumberBuckets, ABucketBeginsWithItsBoundary) {
  const auto buckets = NumberBuckets::between({-1.5f, 0, 10});
  EXPECT_EQ(buckets.count, 4);
  const std::vector<float> values = {-inf, -1.6f, -1.5f, -0.1f, 0, 9.9f, 10, inf, missing_number};
  std::vector<int64_t> found;
  for (const float value : values) found.push_back(buckets.bucket_of(value));
  EXPECT_THAT(found, ElementsAre(0, 0, 1, 1, 2, 2, 3, 3, -1));
  EXPECT_EQ(NumberBuckets::between({}).bucket_of(7), 0);
}

TEST(NumberBuckets, HaveEquallyManyValues) {
  std::vector<float> values(1000);
  for (size_t i = 0; i < values.size(); ++i) values[i] = std::exp(static_cast<float>((i * 7919) % 1000) / 50);
  const auto buckets = equal_buckets(values, 8);
  ASSERT_EQ(buckets.count, 8);
  std::vector<int> members(8);
  for (const float value : values) ++members[static_cast<size_t>(buckets.bucket_of(value))];
  EXPECT_THAT(members, testing::Each(125));
  values.push_back(missing_number);
  EXPECT_EQ(equal_buckets(values, 8), buckets) << "what is missing does not count";
}

TEST(NumberBuckets, AValueThatFillsABucketHasItsOwn) {
  const auto cut = [](std::vector<float> values, int64_t count) {
    return equal_buckets(std::move(values), count).boundaries;
  };
  EXPECT_THAT(cut({0, 0, 0, 0, 0, 0, 1, 2, 3, 4}, 5), ElementsAre(1, 3));         // many zeros
  EXPECT_THAT(cut({1, 2, 5, 5, 5, 5, 5, 5, 8, 9}, 5), ElementsAre(5, 8));         // in the middle
  EXPECT_THAT(cut({1, 1, 2, 2, 2, 3, 3, 4, 4, 5}, 32), ElementsAre(2, 3, 4, 5));  // few values: each its own
  EXPECT_THAT(cut({0, 0, 0, 0, 0, 0, 1, 2, 3, 4}, 2), ElementsAre(1));
  EXPECT_THAT(cut({1, 2, 5, 5, 5, 5, 5, 5, 8, 9}, 3), ElementsAre(5, 8));
  EXPECT_THAT(cut({7, 7, 7}, 32), IsEmpty());
  EXPECT_THAT(cut({}, 32), IsEmpty());
  EXPECT_THAT(cut({missing_number}, 32), IsEmpty());
  EXPECT_EQ(equal_buckets({7, 7, 7}, 32).count, 1);
}

NumberBuckets find_buckets(const Dataset& dataset, const std::vector<std::string>& days,
                           const BatchSpec& spec, const std::string& column, int64_t count,
                           int64_t most_values = int64_t{1} << 20) {
  return lime::find_buckets(dataset, days, spec, {{column, count}}, most_values).at(column);
}

const std::vector<std::string> all_numbers = {"bid", "dwell", "hour", "price", "score"};

// A log some of whose numbers are missing, in every group.
class NumbersOfALog : public testing::Test {
 protected:
  NumbersOfALog() : log_(make_random_log(5, {60, 3000, 900, 3})) {
    int64_t n = 0;
    const auto lose = [&](RowValues& row) {
      if (++n % 5 == 0) row.reals[0] = missing_number;
    };
    for (auto& [id, row] : log_.users) lose(row);
    log_.schema.columns.push_back({"weight", ColumnGroup::item, ColumnKind::real});
    for (auto& [id, row] : log_.items) {
      lose(row);
      row.reals.push_back(static_cast<float>(1000 - id));
    }
    for (auto& event : log_.events) {
      event.values.reals[0] += static_cast<float>(event.user);  // so that it depends on the row
      lose(event.values);
    }
    for (auto& request : log_.requests) {
      lose(request.values);
      for (auto& candidate : request.candidates) lose(candidate.values);
    }
    dataset_ = write_log(log_, temp_.file("data"), small_writer(3));
  }

  MicroBatch read(const BatchSpec& spec) const {
    auto options = reader_options(dataset_, 1);
    options.spec = spec;
    options.requests = 1000000;
    return BatchReader(dataset_, options).next().micro.at(0);
  }
  // What the log has of a column on these days.
  std::vector<float> values_of(const std::string& column, const std::vector<std::string>& days) const {
    std::vector<float> values;
    const int64_t until = dataset_.day_start_ms(days.back()) + 86400000;
    if (column == "score")
      for (const auto& [id, row] : log_.users) values.push_back(row.reals[0]);
    if (column == "price")
      for (const auto& [id, row] : log_.items) values.push_back(row.reals[0]);
    if (column == "dwell")
      for (const auto& event : log_.events)
        if (event.time_ms < until) values.push_back(event.values.reals[0]);
    for (const auto& request : log_.requests) {
      if (std::ranges::find(days, request.day) == days.end()) continue;
      if (column == "hour") values.push_back(request.values.reals[0]);
      for (const auto& candidate : request.candidates)
        if (column == "bid") values.push_back(candidate.values.reals[0]);
    }
    return values;
  }

  TempDirectory temp_;
  RandomLog log_;
  Dataset dataset_;
};

TEST_F(NumbersOfALog, AreCutWhereTheTrainingDaysSay) {
  EXPECT_EQ(number_features(dataset_.schema(), full_spec()), all_numbers);
  std::vector<std::string> days;
  for (const auto& info : dataset_.days()) {
    days.push_back(info.day);
    for (const auto& column : all_numbers)
      EXPECT_EQ(find_buckets(dataset_, days, full_spec(), column, 16),
                equal_buckets(values_of(column, days), 16))
          << column << " on " << days.size() << " days";
  }
  std::map<std::string, int64_t> counts;
  for (const auto& column : all_numbers) counts[column] = 16;
  for (const auto& [column, found] : lime::find_buckets(dataset_, days, full_spec(), counts))
    EXPECT_EQ(found, equal_buckets(values_of(column, days), 16)) << column << ", with the others";
  EXPECT_NE(find_buckets(dataset_, {days[0]}, full_spec(), "dwell", 16),
            find_buckets(dataset_, days, full_spec(), "dwell", 16))
      << "events after the training days do not count";
}

TEST_F(NumbersOfALog, OfOneFileAreEachTheirOwn) {
  BatchSpec spec = full_spec();
  spec.candidate = {"weight", "price"};
  std::vector<float> weights;
  for (const auto& [id, row] : log_.items) weights.push_back(row.reals[1]);
  const std::vector<std::string> days = {dataset_.days()[0].day};
  const auto found = lime::find_buckets(dataset_, days, spec, {{"price", 8}, {"weight", 4}});
  EXPECT_EQ(found.at("price"), equal_buckets(values_of("price", days), 8));
  EXPECT_EQ(found.at("weight"), equal_buckets(weights, 4));
}

TEST_F(NumbersOfALog, OfManyASampleFromEverywhereIsRead) {
  const std::vector<std::string> days = {dataset_.days()[0].day, dataset_.days()[1].day};
  for (const auto& column : all_numbers) {
    auto all = values_of(column, days);
    std::erase_if(all, [](float value) { return std::isnan(value); });
    const auto some = find_buckets(dataset_, days, full_spec(), column, 4, 40);
    EXPECT_EQ(some, find_buckets(dataset_, days, full_spec(), column, 4, 40));
    if (all.size() > 200) {
      EXPECT_NE(some, find_buckets(dataset_, days, full_spec(), column, 4)) << column;
    }
    ASSERT_EQ(some.count, 4) << column;
    std::vector<double> members(4);
    for (const float value : all)
      members[static_cast<size_t>(some.bucket_of(value))] += 4.0 / double(all.size());
    EXPECT_THAT(members, testing::Each(testing::AllOf(testing::Gt(0.3), testing::Lt(2.5)))) << column;
  }
}

// Feature f of a group, of ids and of numbers, in the order of full_spec().
void expect_buckets(const std::vector<float>& numbers, size_t width, size_t column, const IdColumn& ids,
                    const NumberBuckets& buckets, int64_t& missing) {
  ASSERT_EQ(numbers.size(), ids.ids.size() * width);
  EXPECT_THAT(ids.offsets, IsEmpty());
  for (size_t i = 0; i < ids.ids.size(); ++i) {
    const float number = numbers[i * width + column];
    if (ids.ids[i] == -1) {
      EXPECT_EQ(number, 0);
      ++missing;
    } else {
      ASSERT_EQ(ids.ids[i], buckets.bucket_of(number)) << number;
    }
  }
}

TEST_F(NumbersOfALog, AreTheIdsOfTheirBucketsWhereverTheyAreRead) {
  BatchSpec spec;
  spec.history = {"dwell", "item", "price"};
  spec.candidate = {"price", "bid"};
  spec.user = {"user", "hour", "score"};
  spec.tasks = {"click"};
  const MicroBatch numbers = read(spec);
  for (const auto& column : all_numbers)
    spec.buckets[column] = find_buckets(dataset_, {"2022-04-27"}, spec, column, 8);
  const MicroBatch batch = read(spec);
  for (const auto* group : {&batch.history, &batch.candidate, &batch.user})
    EXPECT_THAT(group->real, IsEmpty());
  ASSERT_EQ(batch.history.id_columns.size(), 3u);

  std::vector<int64_t> missing(6);
  auto& b = spec.buckets;
  expect_buckets(numbers.history.real, 2, 0, batch.history.id_columns[0], b["dwell"], missing[0]);
  EXPECT_EQ(batch.history.id_columns[1].ids, numbers.history.id_columns[0].ids);
  expect_buckets(numbers.history.real, 2, 1, batch.history.id_columns[2], b["price"], missing[1]);
  expect_buckets(numbers.candidate.real, 2, 0, batch.candidate.id_columns[0], b["price"], missing[2]);
  expect_buckets(numbers.candidate.real, 2, 1, batch.candidate.id_columns[1], b["bid"], missing[3]);
  expect_buckets(numbers.user.real, 2, 0, batch.user.id_columns[1], b["hour"], missing[4]);
  expect_buckets(numbers.user.real, 2, 1, batch.user.id_columns[2], b["score"], missing[5]);
  EXPECT_THAT(missing, testing::Each(testing::Gt(0)));

  spec.candidate = {"price"};  // what items alone have, for an item cache
  const ItemFeatures features(dataset_.schema(), spec, dataset_.items_path());
  EXPECT_EQ(features.columns(batch.item).id_columns.at(0).ids, batch.candidate.id_columns[0].ids);
  spec.buckets["price"] = {0, {}};
  const auto raw = ItemFeatures(dataset_.schema(), spec, dataset_.items_path()).columns(batch.item);
  EXPECT_THAT(raw.id_columns, IsEmpty());
  ASSERT_EQ(raw.real.size() * 2, numbers.candidate.real.size());
  for (size_t i = 0; i < raw.real.size(); ++i) ASSERT_EQ(raw.real[i], numbers.candidate.real[2 * i]);
}

TEST_F(NumbersOfALog, BucketsOfNoNumbersAreRefused) {
  auto spec = full_spec();
  spec.buckets["author"] = NumberBuckets::between({1});
  EXPECT_EQ(user_error([&] { resolve_features(dataset_.schema(), spec); }),
            "features.buckets.author: 'author' has ids, expected a column of numbers");
  spec.buckets = {{"price", {16, {}}}};
  EXPECT_EQ(user_error([&] { resolve_features(dataset_.schema(), spec); }),
            "features.buckets.price: found 16 buckets, whose boundaries a run finds when it begins; expected "
            "these boundaries");
}

TEST_F(NumbersOfALog, AnInfiniteOneIsNotWritten) {
  log_.events[7].values.reals[0] = inf;
  EXPECT_EQ(user_error([&] { write_log(log_, temp_.file("again"), small_writer(2)); }),
            "group event: found inf, expected a finite number");
}

}  // namespace
}  // namespace lime
