// The C interface: the same logits as the C++ one, codes and messages in place of exceptions.
#include "serving/lime_scorer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "tests/serving/served_run.h"

namespace lime {
namespace {

using testing::HasSubstr;

class CScorer : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    run_ = new ServedRun;
    run_->train(2);
    cache_ = run_->cache("cache.h5");
  }
  static void TearDownTestSuite() { delete run_; }
  void SetUp() override {
    path_ = run_->path();
    lime_scorer_options options = {};
    options.run = path_.c_str(), options.cache = cache_.c_str(), options.refuse_missing = 1;
    ASSERT_EQ(lime_scorer_open(&options, &scorer_), LIME_OK) << lime_last_error();
    ASSERT_EQ(lime_request_make(scorer_, &request_), LIME_OK);
  }
  void TearDown() override {
    lime_request_free(request_);
    lime_scorer_close(scorer_);
  }
  static ServedRun* run_;
  static std::string cache_;
  std::string path_;
  lime_scorer* scorer_ = nullptr;
  lime_request* request_ = nullptr;
};
ServedRun* CScorer::run_ = nullptr;
std::string CScorer::cache_;

TEST_F(CScorer, ScoresAsTheOther) {
  const Scorer scorer(run_->options(cache_));
  EXPECT_EQ(lime_scorer_checkpoint(scorer_), scorer.checkpoint());
  ASSERT_EQ(lime_scorer_tasks(scorer_), 2);
  EXPECT_STREQ(lime_scorer_task(scorer_, 1), "like");
  EXPECT_EQ(lime_scorer_task(scorer_, 2), nullptr);
  const int64_t* cached = nullptr;
  ASSERT_EQ(lime_scorer_cached_items(scorer_, &cached), 40);
  EXPECT_EQ(cached[39], 39);
  run_->each_request(HistoryMode::running, [&](const MicroBatch& batch, int64_t r, const ConstView&) {
    ScoringRequest request = scorer.make_request();
    request.assign(batch, r);
    const auto items = items_of(batch, r);
    std::vector<float> expected(items.size() * 2), logits(items.size() * 2);
    scorer.score(request, items, expected);
    const auto& h = request.history().id_columns;
    const auto events = static_cast<size_t>(request.events());
    ASSERT_EQ(lime_request_clear(request_), LIME_OK);
    ASSERT_EQ(lime_request_set_ids(request_, LIME_HISTORY, "item", h[0].ids.data(), events), LIME_OK);
    ASSERT_EQ(lime_request_set_lists(request_, LIME_HISTORY, "topics", h[1].ids.data(), h[1].offsets.data(),
                                     events),
              LIME_OK);
    ASSERT_EQ(lime_request_set_ids(request_, LIME_HISTORY, "action", h[2].ids.data(), events), LIME_OK);
    std::vector<int64_t> times;
    for (const int64_t bucket : h[3].ids) times.push_back(1'000'000'000'000 - (int64_t{1} << bucket) * 1000);
    ASSERT_EQ(lime_request_set_ages(request_, 1'000'000'000'000, times.data(), events), LIME_OK);
    for (size_t f = 0; f < 2; ++f)
      ASSERT_EQ(lime_request_set_ids(request_, LIME_USER, f == 0 ? "user" : "hour",
                                     request.user().id_columns[f].ids.data(), 1),
                LIME_OK);
    lime_counts counts = {};
    ASSERT_EQ(lime_scorer_score(scorer_, request_, items.data(), items.size(), logits.data(), &counts),
              LIME_OK)
        << lime_last_error();
    EXPECT_EQ(logits, expected);
    EXPECT_EQ(counts.cached, static_cast<int64_t>(items.size()));
    int64_t best = 0;
    float logit = 0;
    size_t found = 9;
    ASSERT_EQ(
        lime_scorer_top(scorer_, request_, items.data(), items.size(), 1, 1, &best, &logit, &found, nullptr),
        LIME_OK);
    ASSERT_EQ(found, 1u);
    EXPECT_EQ(best, scorer.top(request, items, 1, 1).items[0].item);
    EXPECT_EQ(logit, scorer.top(request, items, 1, 1).items[0].logit);
  });
}

TEST(CIds, AreThoseOfAnImport) {
  EXPECT_EQ(lime_id_of_text("SKU-0001"), 313679405992268013);  // XXH3 without its top bit: docs/import_csv.md
  EXPECT_EQ(lime_id_of_text("17"), 17);
  EXPECT_EQ(lime_id_of_text(""), -1);
}

TEST_F(CScorer, FailuresAreCodesAndOneLine) {
  lime_scorer* other = reinterpret_cast<lime_scorer*>(1);
  lime_scorer_options options = {};
  options.run = "no/such/run";
  EXPECT_EQ(lime_scorer_open(&options, &other), LIME_USER_ERROR);
  EXPECT_EQ(other, nullptr);
  EXPECT_STREQ(lime_last_error(), "no/such/run is not a run directory (it has no config.yaml)");
  EXPECT_EQ(lime_scorer_open(nullptr, &other), LIME_USER_ERROR);
  EXPECT_STREQ(lime_last_error(), "options is null");

  const int64_t items[] = {3, 1000};
  float logits[4];
  EXPECT_EQ(lime_scorer_score(scorer_, request_, items, 2, logits, nullptr), LIME_USER_ERROR);
  EXPECT_THAT(lime_last_error(), HasSubstr("item 1000 is not in the cache"));
  EXPECT_EQ(lime_scorer_score(scorer_, nullptr, items, 2, logits, nullptr), LIME_USER_ERROR);
  EXPECT_EQ(lime_scorer_score(scorer_, request_, nullptr, 2, logits, nullptr), LIME_USER_ERROR);
  EXPECT_STREQ(lime_last_error(), "items is null");
  EXPECT_EQ(lime_scorer_score(scorer_, request_, nullptr, 0, nullptr, nullptr), LIME_OK);
  EXPECT_EQ(lime_request_set_ids(request_, 7, "item", items, 2), LIME_USER_ERROR);
  EXPECT_THAT(lime_last_error(), HasSubstr("group 7"));
  EXPECT_EQ(lime_request_set_ids(request_, LIME_HISTORY, nullptr, items, 2), LIME_USER_ERROR);
  EXPECT_EQ(lime_request_set_lists(request_, LIME_HISTORY, "topics", items, nullptr, 2), LIME_USER_ERROR);
  // Rows + 1 are none then: what is in front of the offsets must not pass for the last of them.
  const int64_t offsets[] = {2, 0, 1, 2};
  EXPECT_EQ(lime_request_set_lists(request_, LIME_HISTORY, "topics", items, offsets + 1, SIZE_MAX),
            LIME_USER_ERROR);
  EXPECT_THAT(lime_last_error(), HasSubstr(" rows, expected fewer"));
  EXPECT_EQ(lime_request_set_reals(request_, LIME_USER, "hour", logits, 1), LIME_USER_ERROR);
  // Another thread's failures are its own.
  std::thread([] { EXPECT_STREQ(lime_last_error(), ""); }).join();
  EXPECT_THAT(lime_last_error(), HasSubstr("'hour' holds id values, found real"));
  lime_request_free(nullptr);
  lime_scorer_close(nullptr);
}

}  // namespace
}  // namespace lime
