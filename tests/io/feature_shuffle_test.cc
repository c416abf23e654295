// Shuffled features: what moves, together with what, and that nothing else does.
#include "io/feature_shuffle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/io/random_log.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

FeatureColumns& columns_of(MicroBatch& batch, FeatureSide side) {
  return side == FeatureSide::history     ? batch.history
         : side == FeatureSide::candidate ? batch.candidate
                                          : batch.user;
}

// The values of a feature, by row.
using Values = std::vector<std::vector<double>>;
Values values_of(const ResolvedSpec& spec, MicroBatch batch, FeatureSide side, const std::string& feature) {
  const FeatureColumns& columns = columns_of(batch, side);
  size_t ids = 0, reals = 0, width = 0;
  for (const auto& each : features_of(spec, side)) width += each.kind == ColumnKind::real;
  for (const auto& each : features_of(spec, side)) {
    const size_t place = each.kind == ColumnKind::real ? reals++ : ids++;
    if (each.name != feature) continue;
    Values values;
    if (each.kind == ColumnKind::real) {
      for (size_t i = place; i < columns.real.size(); i += width) values.push_back({columns.real[i]});
      return values;
    }
    const IdColumn& column = columns.id_columns[place];
    if (column.offsets.empty()) {
      for (const int64_t id : column.ids) values.push_back({static_cast<double>(id)});
    } else {
      for (size_t i = 0; i + 1 < column.offsets.size(); ++i)
        values.emplace_back(column.ids.begin() + column.offsets[i],
                            column.ids.begin() + column.offsets[i + 1]);
    }
    return values;
  }
  ADD_FAILURE() << feature;
  return {};
}

Values sorted(Values values) {
  std::sort(values.begin(), values.end());
  return values;
}

// The values of several features side by side.
Values beside(Values left, const Values& right) {
  for (size_t i = 0; i < left.size(); ++i)
    left[i].insert(left[i].end(), right.at(i).begin(), right.at(i).end());
  return left;
}

class Shuffle : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    TempDirectory directory;
    const Dataset dataset = write_log(make_random_log(5), directory.file("data"), small_writer(4));
    spec_ = new ResolvedSpec(resolve_features(dataset.schema(), full_spec()));
    auto options = reader_options(dataset, 2);
    options.requests = 40;
    BatchReader reader(dataset, options);
    original_ = new MicroBatch(reader.next().micro.front());
  }
  static void TearDownTestSuite() {
    delete spec_;
    delete original_;
  }
  static MicroBatch shuffled(FeatureSide side, const std::vector<std::string>& features, uint64_t seed = 1) {
    MicroBatch micro = original();
    FeatureShuffle(*spec_, side, features, seed).apply(micro);
    return micro;
  }
  static const MicroBatch& original() { return *original_; }
  // What is no feature, and features of all sides but those named.
  static void expect_others_as_they_were(const MicroBatch& batch, FeatureSide side,
                                         const std::vector<std::string>& shuffled) {
    const MicroBatch& was = original();
    EXPECT_EQ(batch.candidate_offsets, was.candidate_offsets);
    EXPECT_EQ(batch.labels, was.labels);
    EXPECT_EQ(batch.weights, was.weights);
    EXPECT_EQ(batch.user_id, was.user_id);
    EXPECT_EQ(batch.item, was.item);
    for (const FeatureSide other : feature_sides)
      for (const auto& [name, kind, source, buckets] : features_of(*spec_, other)) {
        if (other == side && std::find(shuffled.begin(), shuffled.end(), name) != shuffled.end()) continue;
        EXPECT_EQ(values_of(*spec_, batch, other, name), values_of(*spec_, was, other, name))
            << to_string(other) << "." << name;
      }
  }

  static inline ResolvedSpec* spec_;
  static inline MicroBatch* original_;
};

TEST_F(Shuffle, OneFeatureIsAnotherRowsAndNothingElseMoves) {
  for (const FeatureSide side : feature_sides)
    for (const auto& feature : features_of(*spec_, side)) {
      SCOPED_TRACE(str(to_string(side), ".", feature.name));
      const MicroBatch batch = shuffled(side, {feature.name});
      const Values was = values_of(*spec_, original(), side, feature.name),
                   is = values_of(*spec_, batch, side, feature.name);
      EXPECT_NE(is, was);
      EXPECT_EQ(sorted(is), sorted(was));
      EXPECT_EQ(batch.history_offsets, original().history_offsets);
      expect_others_as_they_were(batch, side, {feature.name});
    }
}

TEST_F(Shuffle, FeaturesThatAreShuffledTogetherStayTogether) {
  const auto both = [&](const MicroBatch& batch, FeatureSide side, const char* a, const char* b) {
    return beside(values_of(*spec_, batch, side, a), values_of(*spec_, batch, side, b));
  };
  const MicroBatch candidates = shuffled(FeatureSide::candidate, {"price", "topics"});
  expect_others_as_they_were(candidates, FeatureSide::candidate, {"price", "topics"});
  EXPECT_EQ(sorted(both(candidates, FeatureSide::candidate, "price", "topics")),
            sorted(both(original(), FeatureSide::candidate, "price", "topics")));
  const MicroBatch events = shuffled(FeatureSide::history, {"item", "tags"});
  EXPECT_EQ(sorted(both(events, FeatureSide::history, "item", "tags")),
            sorted(both(original(), FeatureSide::history, "item", "tags")));
  EXPECT_EQ(events.history_offsets, original().history_offsets);
}

// Where the order is one of all candidates, most rows are of another request.
TEST_F(Shuffle, AWholeSideIsAnotherRows) {
  for (const FeatureSide side : {FeatureSide::candidate, FeatureSide::user}) {
    const MicroBatch batch = shuffled(side, {});
    Values is, was;
    std::vector<std::string> all;
    for (const auto& feature : features_of(*spec_, side)) {
      const Values now = values_of(*spec_, batch, side, feature.name),
                   before = values_of(*spec_, original(), side, feature.name);
      is = is.empty() ? now : beside(is, now);
      was = was.empty() ? before : beside(was, before);
      all.push_back(feature.name);
    }
    EXPECT_EQ(sorted(is), sorted(was));
    size_t moved = 0;
    for (size_t i = 0; i < is.size(); ++i) moved += is[i] != was[i];
    EXPECT_GT(moved, is.size() * 9 / 10);
    expect_others_as_they_were(batch, side, all);
  }
}

TEST_F(Shuffle, WholeHistoriesChangeHands) {
  const auto histories = [&](const MicroBatch& batch) {
    Values tokens, found;
    for (const auto& feature : spec_->history) {
      const Values column = values_of(*spec_, batch, FeatureSide::history, feature.name);
      tokens = tokens.empty() ? column : beside(tokens, column);
    }
    for (size_t r = 0; r + 1 < batch.history_offsets.size(); ++r) {
      found.emplace_back();
      for (auto t = static_cast<size_t>(batch.history_offsets[r]);
           t < static_cast<size_t>(batch.history_offsets[r + 1]); ++t)
        found.back().insert(found.back().end(), tokens.at(t).begin(), tokens.at(t).end());
    }
    return found;
  };
  const MicroBatch batch = shuffled(FeatureSide::history, {});
  EXPECT_NE(batch.history_offsets, original().history_offsets);
  EXPECT_EQ(batch.history_offsets.back(), original().history_offsets.back());
  EXPECT_NE(histories(batch), histories(original()));
  EXPECT_EQ(sorted(histories(batch)), sorted(histories(original())));
  std::vector<std::string> all;
  for (const auto& feature : spec_->history) all.push_back(feature.name);
  expect_others_as_they_were(batch, FeatureSide::history, all);
}

TEST_F(Shuffle, TheOrderIsThatOfSeedAndMicroBatch) {
  const auto order = [&](uint64_t seed) {
    return values_of(*spec_, shuffled(FeatureSide::user, {"rid"}, seed), FeatureSide::user, "rid");
  };
  EXPECT_EQ(order(1), order(1));
  EXPECT_NE(order(1), order(2));
  // A micro-batch is told by its first request's day, part and row there.
  for (auto place : {&MicroBatch::day, &MicroBatch::part, &MicroBatch::row}) {
    MicroBatch elsewhere = original();
    ++(elsewhere.*place)[0];
    FeatureShuffle(*spec_, FeatureSide::user, {"rid"}, 1).apply(elsewhere);
    EXPECT_NE(values_of(*spec_, elsewhere, FeatureSide::user, "rid"), order(1));
  }
}

TEST_F(Shuffle, AnEmptyMicroBatchStaysEmpty) {
  MicroBatch empty;
  empty.history_offsets = empty.candidate_offsets = {0};
  FeatureShuffle(*spec_, FeatureSide::history, {}, 1).apply(empty);
  EXPECT_TRUE(empty.empty());
}

TEST_F(Shuffle, AFeatureThatTheSideLacksIsNamed) {
  EXPECT_EQ(user_error([&] {
              FeatureShuffle(*spec_, FeatureSide::user, {"user", "hours"}, 1);
            }),
            "features.user has no 'hours' (nearest: 'hour'); found rid, user, interests, score, age_group, "
            "hour, ctx");
}

}  // namespace
}  // namespace lime
