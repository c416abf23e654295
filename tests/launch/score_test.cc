// lime cache build and lime score from outside: what they write, that it is what lime predict says, and what
// a user can do wrong.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include "io/hdf5_file.h"
#include "runtime/error.h"
#include "tests/launch/program.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

// A generated log and a short run for all tests of this program.
class Score : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    temp_ = new TempDirectory;
    generate_log(path("data"));
    write_file(path("config.yaml"),
               str("data: {path: ", path("data"), ", train: 2024-01-01..2024-01-02, max_history: 20}\n",
                   small_log_features, R"(
model: {name: lime_xor, width: 16, heads: 2, links: 4, blocks: 2, head_hidden: 8, max_positions: 16}
tasks: [click]
train: {batch_requests: 16, micro_batches: 4, checkpoint_every: 2}
)"));
    expect_success(str("train ", path("config.yaml"), " --set train.max_steps=4 --out ", path("run")));
  }
  static void TearDownTestSuite() { delete temp_; }

  static std::string path(const std::string& name) { return temp_->file(name); }
  static std::string expect_success(const std::string& arguments) {
    const Outcome outcome = lime_program(arguments);
    EXPECT_EQ(outcome.exit_code, 0) << arguments << "\n" << outcome.err;
    return outcome.out;
  }
  static std::string expect_refusal(const std::string& arguments) {
    const Outcome outcome = lime_program(arguments);
    EXPECT_EQ(outcome.exit_code, 2) << arguments << "\n" << outcome.out;
    EXPECT_EQ(outcome.error_lines().size(), 1u) << outcome.err;
    return outcome.err;
  }
  static std::string score(const std::string& options) {
    return str("score ", path("run"), " --requests 2024-01-03 ", options);
  }

  // Probability of each (part, row, item) of a file of predict or score.
  using Scores = std::map<std::tuple<int64_t, int64_t, int64_t>, double>;
  static Scores scores_of(const std::string& file) {
    const Hdf5File h5(file, Hdf5File::Mode::read);
    const auto part = h5.read<int64_t>("/request/part"), row = h5.read<int64_t>("/request/row"),
               offsets = h5.read<int64_t>("/candidate/offsets"), item = h5.read<int64_t>("/candidate/item");
    const auto score = h5.read<double>("/score/click");
    Scores scores;
    for (size_t r = 0; r < part.size(); ++r)
      for (auto c = static_cast<size_t>(offsets[r]); c < static_cast<size_t>(offsets[r + 1]); ++c)
        scores[{part[r], row[r], item[c]}] = score[c];
    return scores;
  }
  static TempDirectory* temp_;
};
TempDirectory* Score::temp_ = nullptr;

TEST_F(Score, IsWhatPredictSays) {
  expect_success(str("predict ", path("run"), " --days 2024-01-03 --out ", path("predict.h5")));
  const Scores expected = scores_of(path("predict.h5"));
  ASSERT_GT(expected.size(), 300u);
  for (const auto& [type, bound] : {std::pair{"f32", 1e-6}, {"f16", 1e-3}, {"int8", 1e-2}}) {
    EXPECT_THAT(
        expect_success(str("cache build ", path("run"), " --type ", type, " --out ", path("cache.h5"))),
        AllOf(HasSubstr("50 items of step-000000004"), HasSubstr(type)));
    EXPECT_THAT(expect_success(score(
                    str("--candidates 0 --top 0 --cache ", path("cache.h5"), " --out ", path("all.h5")))),
                HasSubstr(" from the cache, 0 without it"));
    const Scores found = scores_of(path("all.h5"));
    ASSERT_EQ(found.size(), expected.size());
    for (const auto& [key, value] : expected) ASSERT_NEAR(found.at(key), value, bound) << type;
  }
}

TEST_F(Score, RanksFurtherCandidatesTheSameWithAnyThreads) {
  expect_success(str("cache build ", path("run"), " --out ", path("cache.h5")));
  const std::string command = score(str("--candidates 30 --top 5 --cache ", path("cache.h5")));
  EXPECT_THAT(expect_success(command + " --out " + path("one.h5")), HasSubstr("180 requests"));
  expect_success(command + " --threads 3 --out " + path("three.h5"));
  EXPECT_EQ(read_file(path("one.h5")), read_file(path("three.h5")));
  expect_success(score("--candidates 30 --top 5 --out " + path("none.h5")));
  const Scores cached = scores_of(path("one.h5")), uncached = scores_of(path("none.h5"));
  ASSERT_EQ(cached.size(), uncached.size());
  for (const auto& [key, value] : cached) ASSERT_NEAR(uncached.at(key), value, 1e-6);
  const Hdf5File file(path("one.h5"), Hdf5File::Mode::read);
  EXPECT_EQ(file.attribute("/", "format"), "lime-ranking");
  const auto probabilities = file.read<double>("/score/click");
  ASSERT_EQ(probabilities.size(), 180u * 5);
  for (size_t i = 0; i < probabilities.size(); ++i) {
    ASSERT_TRUE(i % 5 == 0 || probabilities[i - 1] >= probabilities[i]) << i;
  }
  const auto shown = file.read<int64_t>("/candidate/shown");
  const auto impressions = std::count(shown.begin(), shown.end(), 1);
  EXPECT_GT(impressions, 0);
  EXPECT_LT(impressions, 540);
}

TEST_F(Score, FurtherCandidatesAreOthersThanThoseShown) {
  expect_success(score("--candidates 1000 --top 0 --out " + path("all.h5")));  // there are 50 items
  const Hdf5File file(path("all.h5"), Hdf5File::Mode::read);
  const auto offsets = file.read<int64_t>("/candidate/offsets"), item = file.read<int64_t>("/candidate/item"),
             shown = file.read<int64_t>("/candidate/shown");
  for (size_t r = 0; r + 1 < offsets.size(); ++r) {
    std::multiset<int64_t> further;
    std::set<int64_t> all, impressions;
    for (auto c = static_cast<size_t>(offsets[r]); c < static_cast<size_t>(offsets[r + 1]); ++c) {
      all.insert(item[c]);
      if (shown[c])
        impressions.insert(item[c]);
      else
        further.insert(item[c]);
    }
    std::set<int64_t> once(further.begin(), further.end());
    ASSERT_EQ(once.size(), further.size());
    ASSERT_EQ(all.size(), 50u);
    ASSERT_EQ(further.size() + impressions.size(), 50u);
    ASSERT_LT(further.size(), 50u);
  }
}

TEST_F(Score, WhatIsWrongIsOneLine) {
  expect_success(str("cache build ", path("run"), " --checkpoint step-000000002 --out ", path("old.h5")));
  EXPECT_THAT(expect_refusal(score("--cache " + path("old.h5"))),
              AllOf(HasSubstr("was built from step-000000002"), HasSubstr("checkpoints/step-000000004")));
  expect_success(score("--checkpoint step-000000002 --cache " + path("old.h5")));
  EXPECT_THAT(expect_refusal(score("--cache " + path("config.yaml"))),
              HasSubstr("config.yaml: cannot open as HDF5"));
  EXPECT_THAT(expect_refusal(score("--task like")), HasSubstr("--task: found like, expected one of click"));
  EXPECT_THAT(expect_refusal(str("score ", path("run"), " --requests 2024-02-01")),
              HasSubstr("has no day 2024-02-01"));
  EXPECT_THAT(expect_refusal(score("--out " + path("no/where.h5"))), HasSubstr("no/where.h5"));
  EXPECT_THAT(expect_refusal(str("cache build ", path("run"), " --items nothing.h5 --out ", path("x.h5"))),
              HasSubstr("nothing.h5: no such file"));
  EXPECT_THAT(expect_refusal(str("cache build ", path("run"), " --type i4 --out ", path("x.h5"))),
              HasSubstr("--type"));
  EXPECT_FALSE(fs::exists(path("x.h5")));
  EXPECT_FALSE(fs::exists(path("x.h5.partial")));
}

TEST_F(Score, ItemsThatTheCacheLacksAreCountedOrRefused) {
  expect_success("generate --users 10 --items 20 --days 1 --parts 4 --out " + path("few"));
  expect_success(
      str("cache build ", path("run"), " --items ", path("few/items.h5"), " --out ", path("few.h5")));
  const std::string command = score("--candidates 0 --cache " + path("few.h5"));
  EXPECT_THAT(expect_success(command),
              AllOf(HasSubstr("540 candidates"), testing::Not(HasSubstr(" 0 without it")),
                    testing::Not(HasSubstr(": 0 from the cache"))));
  EXPECT_THAT(expect_refusal(command + " --missing refuse"), HasSubstr("is not in the cache"));
}

TEST_F(Score, ModelsWithoutLinksTakeNoCache) {
  expect_success(str("train ", path("config.yaml"),
                     " --set model.name=two_tower --set train.max_steps=2 --out ", path("two")));
  EXPECT_THAT(expect_refusal(str("cache build ", path("two"), " --out ", path("two.h5"))),
              HasSubstr("model two_tower cannot be cached"));
  EXPECT_THAT(
      expect_success(str("score ", path("two"), " --requests 2024-01-03 --candidates 10 --history none")),
      HasSubstr("180 requests (180 without history)"));
}

}  // namespace
}  // namespace lime
