#include "io/generate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>

#include "io/generate_truth.h"
#include "io/generate_user.h"
#include "runtime/philox.h"
#include "tests/io/import_dump.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

using testing::HasSubstr;

GenerateOptions small() {
  GenerateOptions options;
  options.users = 300;
  options.items = 100;
  options.topics = 4;
  options.days = 2;
  options.candidates = 4;
  options.history_min = 3;
  options.history_max = 40;
  options.history_mean = 12;
  options.writer.parts = 2;
  return options;
}

struct Scored {
  int64_t score = 0, probability = 0;
};

// The definition, pair by pair.
double brute_force(const std::vector<Scored>& rows) {
  double ordered = 0, pairs = 0;
  for (size_t i = 0; i < rows.size(); ++i)
    for (size_t j = 0; j < rows.size(); ++j) {
      if (i == j) continue;
      const double weight = static_cast<double>(rows[i].probability) *
                            static_cast<double>(probability_unit - rows[j].probability);
      pairs += weight;
      ordered += rows[i].score > rows[j].score ? weight : rows[i].score == rows[j].score ? weight / 2 : 0;
    }
  return ordered / pairs;
}

TEST(ExpectedAucTest, IsTheRatioOverPairs) {
  const Philox philox(3, stream_of("expected auc"));
  std::vector<Scored> rows;
  ExpectedAuc first, second;
  for (uint64_t i = 0; i < 300; ++i) {
    rows.push_back({static_cast<int64_t>(philox.below(40, 2 * i)),
                    static_cast<int64_t>(philox.below(65537, 2 * i + 1))});
    (i < 100 ? first : second).add(rows.back().score, rows.back().probability);
  }
  first.merge(second);
  EXPECT_NEAR(first.value(), brute_force(rows), 1e-12);
}

TEST(ExpectedAucTest, KnowsTheExtremes) {
  ExpectedAuc sure;
  sure.add(10, probability_unit);
  sure.add(5, 0);
  EXPECT_DOUBLE_EQ(sure.value(), 1.0);
  ExpectedAuc none;
  EXPECT_DOUBLE_EQ(none.value(), 0.5);
  none.add(7, probability_unit / 2);
  EXPECT_DOUBLE_EQ(none.value(), 0.5);
}

// The probabilities of a generated log, worked out again from its definition (generate.h) and what was
// stored.
class GenerateTest : public testing::Test {
 protected:
  GenerateReport make(GenerateOptions options, const std::string& name = "dataset") {
    options.out = directory_.file(name);
    return generate(options);
  }
  Dataset open(const std::string& name = "dataset") { return Dataset::open(directory_.file(name)); }

  TempDirectory directory_;
};

TEST_F(GenerateTest, TheSameOptionsGiveTheSameBytes) {
  make(small(), "a");
  make(small(), "b");
  auto other = small();
  other.seed = 2;
  make(other, "c");
  int files = 0, changed = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory_.file("a"))) {
    if (!entry.is_regular_file()) continue;
    const auto relative = std::filesystem::relative(entry.path(), directory_.file("a")).string();
    const auto bytes = read_file(entry.path());
    EXPECT_TRUE(bytes == read_file(directory_.file("b/" + relative))) << relative;
    changed += bytes != read_file(directory_.file("c/" + relative));
    ++files;
  }
  EXPECT_EQ(files, 2 + 2 * 2 + 3);  // events, days, items.h5, index.h5, dataset.yaml
  EXPECT_GE(changed, files - 1);    // items.h5 holds topics, which do not depend on the seed
}

TEST_F(GenerateTest, ProbabilitiesFollowFromTheHistories) {
  const auto options = small();
  const auto report = make(options);
  const UserGenerator generator(options);
  SyntheticUser user;
  const Philox quality(options.seed, stream_of("generate quality"));
  const Philox segment(options.seed, stream_of("generate segment"));
  std::vector<Scored> last_bayes, last_plain, first_bayes;
  size_t checked = 0;
  const auto data = dump(open());
  for (const auto& request : data.requests) {
    generator.make(request.user, user);
    const auto r =
        static_cast<size_t>(std::find(user.request_times.begin(), user.request_times.end(), request.time) -
                            user.request_times.begin());
    ASSERT_LT(r, user.request_times.size());
    std::map<int64_t, double> evidence;
    for (const auto& event : request.history) {
      EXPECT_LT(event.time, request.time);
      evidence[data.items.at(event.item).ids.at("topic")] += event.ids.at("action") == 1 ? 1 : -1;
    }
    for (const auto& event : request.later) EXPECT_GE(event.time, request.time);
    for (size_t c = 0; c < request.candidates.size(); ++c) {
      const auto& truth = user.candidates[r * request.candidates.size() + c];
      const int64_t item = request.candidates[c].item;
      ASSERT_EQ(truth.item, item);
      const double plain =
          options.bias +
          options.user_bias *
              segment.normal(static_cast<uint64_t>(data.users.at(request.user).ids.at("segment"))) +
          options.item_quality * quality.normal(static_cast<uint64_t>(item));
      const double share = static_cast<double>(options.topics) *
                           evidence[data.items.at(item).ids.at("topic")] /
                           static_cast<double>(std::max<size_t>(request.history.size(), 1));
      const double logit = plain + options.interest * std::tanh(options.evidence * share);
      EXPECT_NEAR(static_cast<double>(truth.probability) / probability_unit, 1 / (1 + std::exp(-logit)),
                  1.0 / probability_unit);
      EXPECT_NEAR(static_cast<double>(truth.without_history) / probability_unit, 1 / (1 + std::exp(-plain)),
                  1.0 / probability_unit);
      EXPECT_EQ(request.candidates[c].labels.at("click"), truth.click ? 1 : 0);
      (request.day == "2024-01-02" ? last_bayes : first_bayes)
          .push_back({truth.probability, truth.probability});
      if (request.day == "2024-01-02") last_plain.push_back({truth.without_history, truth.probability});
      ++checked;
    }
  }
  EXPECT_EQ(checked, 300U * 2 * 4);
  const auto facts = open().schema().facts;
  EXPECT_NEAR(facts.at("bayes_auc"), brute_force(last_bayes), 1e-9);
  EXPECT_NEAR(facts.at("no_history_auc"), brute_force(last_plain), 1e-9);
  EXPECT_NEAR(facts.at("bayes_auc_2024-01-01"), brute_force(first_bayes), 1e-9);
  EXPECT_NEAR(facts.at("bayes_auc_2024-01-02"), facts.at("bayes_auc"), 1e-12);
  EXPECT_EQ(report.bayes_auc, facts.at("bayes_auc"));
  EXPECT_EQ(report.no_history_auc, facts.at("no_history_auc"));
}

TEST_F(GenerateTest, LabelsAreDrawnFromTheProbabilities) {
  auto options = small();
  options.users = 4000;
  const UserGenerator generator(options);
  SyntheticUser user;
  std::vector<std::pair<int64_t, bool>> drawn;
  ExpectedAuc expected;
  double sum = 0, clicks = 0;
  for (int64_t u = 0; u < options.users; ++u) {
    generator.make(u, user);
    for (const auto& candidate : user.candidates) {
      drawn.emplace_back(candidate.probability, candidate.click);
      expected.add(candidate.probability, candidate.probability);
      sum += static_cast<double>(candidate.probability) / probability_unit;
      clicks += candidate.click ? 1 : 0;
    }
  }
  // AUC of the probabilities over the labels drawn, with ties at one half.
  std::sort(drawn.begin(), drawn.end());
  double below = 0, ordered = 0, positives = 0;
  for (size_t i = 0; i < drawn.size();) {
    double tied_positives = 0, tied_negatives = 0;
    for (const auto score = drawn[i].first; i < drawn.size() && drawn[i].first == score; ++i)
      (drawn[i].second ? tied_positives : tied_negatives) += 1;
    ordered += tied_positives * (below + tied_negatives / 2);
    below += tied_negatives;
    positives += tied_positives;
  }
  const auto count = static_cast<double>(drawn.size());
  EXPECT_NEAR(ordered / (positives * below), expected.value(), 4 * 0.5 / std::sqrt(count));
  EXPECT_NEAR(clicks / count, sum / count, 4 * 0.5 / std::sqrt(count));
  EXPECT_GT(expected.value(), 0.75);
}

TEST_F(GenerateTest, MarginalsSayNothing) {
  auto options = small();
  options.users = 3000;
  const UserGenerator generator(options);
  SyntheticUser user;
  std::vector<double> topics(static_cast<size_t>(options.topics));
  double clicks = 0, events = 0;
  for (int64_t u = 0; u < options.users; ++u) {
    generator.make(u, user);
    for (const auto& event : user.events) {
      topics[static_cast<size_t>(generator.topic(event.item))] += 1;
      clicks += event.click ? 1 : 0;
      events += 1;
    }
  }
  for (const double count : topics) EXPECT_NEAR(count / events, 0.25, 4 * 0.5 / std::sqrt(events));
  EXPECT_NEAR(clicks / events, 0.5, 4 * 0.5 / std::sqrt(events));
}

TEST_F(GenerateTest, ExposureShowsMoreOfWhatIsLiked) {
  auto options = small();
  options.users = 2000;
  options.exposure = 0.8;
  options.action_noise = 0.1;
  const UserGenerator generator(options);
  SyntheticUser user;
  double clicks = 0, events = 0;
  for (int64_t u = 0; u < options.users; ++u) {
    generator.make(u, user);
    for (const auto& event : user.events) clicks += event.click ? 1 : 0;
    events += static_cast<double>(user.events.size());
  }
  EXPECT_NEAR(clicks / events, 0.8 * 0.9 + 0.2 * 0.1, 4 * 0.5 / std::sqrt(events));
}

TEST_F(GenerateTest, HistoryLengthsHaveTheMeanAskedFor) {
  auto options = small();
  options.users = 5000;
  options.history_min = 10;
  options.history_max = 1000;
  options.history_mean = 60;
  options.events_per_user_per_day = 0;
  const UserGenerator generator(options);
  SyntheticUser user;
  double sum = 0;
  size_t shortest = 1000, longest = 0;
  for (int64_t u = 0; u < options.users; ++u) {
    generator.make(u, user);
    sum += static_cast<double>(user.events.size());
    shortest = std::min(shortest, user.events.size());
    longest = std::max(longest, user.events.size());
    EXPECT_TRUE(std::is_sorted(user.events.begin(), user.events.end(),
                               [](const auto& a, const auto& b) { return a.time_ms < b.time_ms; }));
  }
  EXPECT_NEAR(sum / static_cast<double>(options.users), 60, 6);
  EXPECT_EQ(shortest, 10U);
  EXPECT_GT(longest, 700U);
}

TEST_F(GenerateTest, FixedLogsHaveOneShape) {
  auto options = small();
  options.history_length = 17;
  options.items = 1000000;
  options.users = 20;
  options.writer.parts = 1;
  make(options);
  for (const auto& request : dump(open()).requests) {
    EXPECT_EQ(request.history.size(), 17U);
    EXPECT_EQ(request.later.size(), 0U);
    EXPECT_EQ(request.candidates.size(), 4U);
  }
}

TEST_F(GenerateTest, WithALagOnlyOldEventsCount) {
  auto options = small();
  options.history_min = options.history_max = 30;
  options.signal_lag = 30;
  auto report = make(options, "hidden");
  EXPECT_DOUBLE_EQ(report.bayes_auc, report.no_history_auc);
  options.signal_lag = 10;
  report = make(options, "lagged");
  EXPECT_GT(report.bayes_auc, report.no_history_auc + 0.1);
}

TEST_F(GenerateTest, NamesTheOptionThatIsOutOfRange) {
  auto options = small();
  options.topics = 3;
  EXPECT_THAT([&] { make(options); },
              testing::ThrowsMessage<UserError>(HasSubstr("generate: topics: found 3, expected an even")));
  options = small();
  options.history_mean = 100;
  EXPECT_THAT([&] { make(options); },
              testing::ThrowsMessage<UserError>(HasSubstr("generate: history_mean: found 100")));
  options = small();
  options.first_day = "yesterday";
  EXPECT_THAT([&] { make(options); },
              testing::ThrowsMessage<UserError>(HasSubstr("generate: first_day: found 'yesterday'")));
  EXPECT_FALSE(std::filesystem::exists(directory_.file("dataset")));
}

}  // namespace
}  // namespace lime
