// The scorer against the network that trains: the same logits with and without a cache; and all that can be
// wrong.
#include "serving/scorer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <numeric>
#include <thread>

#include "runtime/kernels_amx.h"
#include "serving/build_item_cache.h"
#include "tests/serving/served_run.h"

namespace lime {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using Group = ScoringRequest::Group;

// Largest difference from the network's logits over all requests of the held-out day.
double worst(ServedRun& run, const Scorer& scorer, HistoryMode mode, int64_t* candidates = nullptr) {
  double largest = 0;
  int64_t seen = 0;
  run.each_request(mode, [&](const MicroBatch& batch, int64_t r, const ConstView& expected) {
    ScoringRequest request = scorer.make_request();
    request.assign(batch, r);
    const auto items = items_of(batch, r);
    std::vector<float> logits(items.size() * 2);
    scorer.score(request, items, logits);
    for (size_t i = 0; i < logits.size(); ++i)
      largest = std::max(largest, static_cast<double>(std::abs(logits[i] - expected.data<float>()[i])));
    seen += static_cast<int64_t>(items.size());
  });
  EXPECT_GT(seen, 50);
  if (candidates) *candidates = seen;
  return largest;
}

class LinkModels : public testing::TestWithParam<std::string> {};

TEST_P(LinkModels, ScoreAsTheNetworkDoes) {
  ServedRun run({{"model.name", GetParam()}});
  run.train(3);
  for (const auto& [type, bound] :
       {std::pair{RowType::f32, 1e-5}, {RowType::f16, 2e-3}, {RowType::i8, 2e-2}}) {
    const Scorer scorer(run.options(run.cache("cache.h5", type), MissingItems::refuse));
    int64_t candidates = 0;
    const double error = worst(run, scorer, HistoryMode::running, &candidates);
    EXPECT_LT(error, bound) << to_string(type);
    if (type != RowType::f32) {
      EXPECT_GT(error, 0) << to_string(type);
    }
    EXPECT_EQ(scorer.total_counts().cached, candidates);
    EXPECT_EQ(scorer.total_counts().uncached, 0);
  }
  const Scorer without(run.options());
  EXPECT_LT(worst(run, without, HistoryMode::running), 1e-5);
  EXPECT_LT(worst(run, without, HistoryMode::none), 1e-5);  // requests without history
  EXPECT_EQ(without.total_counts().cached, 0);
}

INSTANTIATE_TEST_SUITE_P(Models, LinkModels, testing::Values("lime_xor", "lime_mha"));

TEST(Buckets, OfNumbersScoreAsTheNetworkDoes) {
  ServedRun run({{"features.buckets.price", "[0.25, 0.5]"}, {"features.history", "[item, price, age]"}});
  run.train(3);
  const Scorer scorer(run.options(run.cache("cache.h5", RowType::f32), MissingItems::refuse));
  EXPECT_LT(worst(run, scorer, HistoryMode::running), 1e-5);
  EXPECT_LT(worst(run, Scorer(run.options()), HistoryMode::running), 1e-5);
}

class OtherModels : public testing::TestWithParam<std::string> {};

TEST_P(OtherModels, AreScoredWholeAndTakeNoCache) {
  ServedRun run({{"model.name", GetParam()}});
  run.train(2);
  const Scorer scorer(run.options());
  EXPECT_LT(worst(run, scorer, HistoryMode::running), 1e-5);
  EXPECT_GT(scorer.total_counts().uncached, 0);
  EXPECT_THAT(user_error([&] { run.cache("cache.h5"); }),
              HasSubstr("model " + GetParam() + " cannot be cached"));
  EXPECT_FALSE(std::filesystem::exists(run.file("cache.h5.partial")));
  EXPECT_THAT(user_error([&] { Scorer(run.options("cache.h5")); }),
              HasSubstr("cache.h5: model " + GetParam() + " has no links"));
}

INSTANTIATE_TEST_SUITE_P(Models, OtherModels, testing::Values("two_tower", "din", "mha", "hstu"));

class ScorerTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    run_ = new ServedRun(Overrides{{"embeddings.tables.item.type", "bf16"}});  // the others' rows are f32
    run_->train(2);
    cache_ = run_->cache("cache.h5");
  }
  static void TearDownTestSuite() {
    delete run_;
    run_ = nullptr;
  }
  static ServedRun* run_;
  static std::string cache_;
};
ServedRun* ScorerTest::run_ = nullptr;
std::string ScorerTest::cache_;

TEST_F(ScorerTest, ItemsThatTheCacheLacksAreScoredAndCountedOrRefused) {
  // Items 0..19 of 40, with features of their own.
  write_items(*run_, run_->file("half"), std::vector<float>(20, 0.5f));
  const std::string half = run_->cache("half.h5", RowType::i8, run_->file("half") + "/items.h5");
  const Scorer some(run_->options(half)), none(run_->options()),
      refuses(run_->options(half, MissingItems::refuse));
  EXPECT_EQ(some.cached_items().size(), 20u);
  const ScoringRequest request = some.make_request();
  const std::vector<int64_t> items = {3, 30, 19, 20, 1000000, 3};
  std::vector<float> logits(12), uncached(12), alone(2);
  const ScoringCounts counts = some.score(request, items, logits);
  EXPECT_EQ(counts.cached, 3);
  EXPECT_EQ(counts.uncached, 3);
  EXPECT_EQ(none.score(request, items, uncached).uncached, 6);
  for (const size_t i : {1, 3, 4})  // by the same way, so the same bits
    for (size_t t = 0; t < 2; ++t) EXPECT_EQ(logits[2 * i + t], uncached[2 * i + t]) << i;
  some.score(request, std::vector<int64_t>{3}, alone);
  for (const size_t i : {0, 5})
    for (size_t t = 0; t < 2; ++t) EXPECT_EQ(logits[2 * i + t], alone[t]) << i;
  EXPECT_NE(logits[0], uncached[0]);  // another price, and int8
  EXPECT_THAT(user_error([&] { refuses.score(request, items, logits); }),
              AllOf(HasSubstr("item 30 is not in the cache"), HasSubstr("3 of 6 candidates")));
  EXPECT_EQ(refuses.score(request, std::vector<int64_t>{3}, alone).cached, 1);
}

TEST_F(ScorerTest, NoCandidatesAreNoWork) {
  const Scorer scorer(run_->options(cache_));
  const ScoringRequest request = scorer.make_request();
  const ScoringCounts counts = scorer.score(request, {}, {});
  EXPECT_EQ(counts.cached + counts.uncached, 0);
  EXPECT_TRUE(scorer.top(request, {}, 5).items.empty());
  const std::vector<int64_t> items = {1, 2, 3};
  EXPECT_TRUE(scorer.top(request, items, 0).items.empty());
  EXPECT_EQ(scorer.top(request, items, 5).items.size(), 3u);
  EXPECT_THAT(user_error([&] { scorer.top(request, items, -1); }), HasSubstr("expected 0 or more"));
  EXPECT_THAT(user_error([&] { scorer.top(request, items, 1, 2); }), HasSubstr("task 2, expected 0 to 1"));
  std::vector<float> few(5);
  EXPECT_THAT(user_error([&] { scorer.score(request, items, few); }),
              HasSubstr("room for 5 logits, expected 3 items x 2"));
}

TEST_F(ScorerTest, TheBestComeFirst) {
  const Scorer scorer(run_->options(cache_));
  const ScoringRequest request = scorer.make_request();
  std::vector<int64_t> items(40);
  for (int64_t i = 0; i < 40; ++i) items[static_cast<size_t>(i)] = 39 - i;
  std::vector<float> logits(80);
  scorer.score(request, items, logits);
  for (const int64_t task : {0, 1}) {
    const Ranking ranking = scorer.top(request, items, 7, task);
    ASSERT_EQ(ranking.items.size(), 7u);
    EXPECT_EQ(ranking.counts.cached, 40);
    for (size_t i = 0; i < 7; ++i) {
      const RankedItem& best = ranking.items[i];
      EXPECT_EQ(best.item, items[static_cast<size_t>(best.position)]);
      EXPECT_EQ(best.logit, logits[static_cast<size_t>(2 * best.position + task)]);
      int64_t better = 0;
      for (size_t other = 0; other < 40; ++other)
        better += logits[2 * other + static_cast<size_t>(task)] > best.logit;
      EXPECT_EQ(better, static_cast<int64_t>(i));
    }
  }
  const float ties[] = {1, 9, 3, 9, 3, 9, 3, 9};
  EXPECT_THAT(best_positions(ties, 4, 2, 3), ElementsAre(1, 2, 3));  // 1, 3, 3, 3
  EXPECT_THAT(best_positions(ties, 4, 2, 1), ElementsAre(1));
}

TEST_F(ScorerTest, WeightsThatAreNotFiniteAreNamed) {
  ServedRun run(Overrides{{"embeddings.tables.item.type", "bf16"}});
  run.train(2);
  Parameter* weight = nullptr;
  for (auto& p : run.run().network.parameters().all())
    if (p.name == "interaction.decoupled.tq.weight") weight = &p;
  ASSERT_NE(weight, nullptr);
  const float kept = weight->master.data<float>()[11];
  weight->master.data<float>()[11] = std::nanf("");
  run.save();
  EXPECT_THAT(user_error([&] { Scorer(run.options()); }),
              HasSubstr("parameter interaction.decoupled.tq.weight holds nan at row 1, column 3"));
  EXPECT_THAT(user_error([&] { run.cache("cache.h5"); }), HasSubstr("interaction.decoupled.tq.weight"));
  EXPECT_FALSE(std::filesystem::exists(run.file("cache.h5")));
  weight->master.data<float>()[11] = kept;
  auto& tables = run.run().network.tables();
  for (size_t t = 0; t < tables.tables().size(); ++t) {
    if (tables.tables()[t].name != "item") continue;
    TableRows rows;
    rows.ids = {777};
    rows.values.assign(static_cast<size_t>(tables.tables()[t].dim), std::numeric_limits<float>::infinity());
    rows.state.assign(static_cast<size_t>(tables.state_width(static_cast<int64_t>(t))), 0.0f);
    tables.load_rows(static_cast<int64_t>(t), rows);
  }
  run.save();
  EXPECT_THAT(user_error([&] { Scorer(run.options()); }),
              HasSubstr("table item: the row of id 777 holds a NaN"));
}

TEST_F(ScorerTest, LogitsThatOverflowAreRefused) {
  ServedRun run;
  run.train(1);
  for (auto& p : run.run().network.parameters().all())
    if (p.name == "head.out.weight" || p.name == "head.hidden.bias")
      for (int64_t i = 0; i < p.master.size(); ++i) p.master.data<float>()[i] = 3e38f;
  run.save();
  const Scorer scorer(run.options());
  std::vector<float> logits(2);
  EXPECT_THAT(user_error([&] { scorer.score(scorer.make_request(), std::vector<int64_t>{4}, logits); }),
              HasSubstr("item 4: its logit of click is inf"));
}

TEST_F(ScorerTest, RequestsAreSetByName) {
  const Scorer scorer(run_->options(cache_));
  int64_t compared = 0;
  run_->each_request(HistoryMode::running, [&](const MicroBatch& batch, int64_t r, const ConstView&) {
    ScoringRequest whole = scorer.make_request(), named = scorer.make_request();
    whole.assign(batch, r);
    // features: history [item, topics, action, age], user [user, hour]
    const auto& history = whole.history().id_columns;
    named.set_ids(Group::user, "hour", whole.user().id_columns[1].ids);
    named.set_ids(Group::user, "user", whole.user().id_columns[0].ids);
    named.set_ids(Group::history, "item", history[0].ids);
    named.set_lists(Group::history, "topics", history[1].ids, history[1].offsets);
    named.set_ids(Group::history, "action", history[2].ids);
    std::vector<int64_t> times;
    for (const int64_t bucket : history[3].ids)
      times.push_back(1'000'000'000'000 - (int64_t{1} << bucket) * 1000);
    named.set_ages(1'000'000'000'000, times);
    const auto items = items_of(batch, r);
    std::vector<float> a(items.size() * 2), b(items.size() * 2);
    scorer.score(whole, items, a);
    scorer.score(named, items, b);
    EXPECT_EQ(a, b);
    compared += whole.events();
    // And again, emptied.
    ScoringRequest fresh = scorer.make_request();
    named.clear();
    scorer.score(fresh, items, a);
    scorer.score(named, items, b);
    EXPECT_EQ(a, b);
  });
  EXPECT_GT(compared, 20);
}

// Many blocks of candidates, of sides from which on BLAS takes products of many rows; with the tile unit,
// where there is one, and without.
TEST_F(ScorerTest, CandidatesScoreAlikeInAnyCompany) {
  ServedRun run({{"model.width", "520"}, {"model.head_hidden", "520"}});
  run.train(1);
  std::vector<int64_t> items(600);
  std::iota(items.begin(), items.end(), 0);
  for (const bool amx : {false, true}) {
    cpu::allow_amx(amx);
    build_item_cache(ServedModel({run.path(), "", "", {}}), items, "", RowType::f32, run.file("cache.h5"));
    const Scorer cached(run.options(run.file("cache.h5"))), computed(run.options());
    const ScoringRequest request = cached.make_request();
    std::vector<float> all(1200), others(1200), alone(2);
    cached.score(request, items, all);
    computed.score(request, items, others);
    EXPECT_EQ(all, others) << (amx ? "AMX" : "no AMX");
    for (const int64_t item : {0, 39, 511, 555, 599}) {
      computed.score(request, std::vector<int64_t>{item}, alone);
      for (size_t t = 0; t < 2; ++t)
        EXPECT_EQ(alone[t], all[2 * static_cast<size_t>(item) + t]) << item << (amx ? ", AMX" : ", no AMX");
    }
  }
}

TEST_F(ScorerTest, ThreadsScoreAtOnce) {
  const Scorer scorer(run_->options(cache_));
  std::vector<std::pair<ScoringRequest, std::vector<int64_t>>> requests;
  std::vector<std::vector<float>> expected;
  run_->each_request(HistoryMode::running, [&](const MicroBatch& batch, int64_t r, const ConstView&) {
    requests.emplace_back(scorer.make_request(), items_of(batch, r));
    requests.back().first.assign(batch, r);
    requests.back().second.push_back(5000 + r);  // and one that the cache lacks
    expected.emplace_back(requests.back().second.size() * 2);
    scorer.score(requests.back().first, requests.back().second, expected.back());
  });
  std::vector<int> wrong(4);
  std::vector<std::thread> threads;
  for (size_t t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int round = 0; round < 3; ++round)
        for (size_t i = 0; i < requests.size(); ++i) {
          const size_t r = (i * 7 + t * 13) % requests.size();
          std::vector<float> logits(expected[r].size());
          scorer.score(requests[r].first, requests[r].second, logits);
          wrong[t] += logits != expected[r];
        }
    });
  for (auto& thread : threads) thread.join();
  EXPECT_THAT(wrong, ElementsAre(0, 0, 0, 0));
}

TEST_F(ScorerTest, OnlyTheDescriptionOfADatasetIsNeeded) {
  const std::string served = run_->file("served");
  std::filesystem::create_directories(served);
  std::filesystem::copy_file(run_->data() + "/dataset.yaml", served + "/dataset.yaml");
  ScorerOptions options = run_->options(cache_, MissingItems::refuse);
  options.data = served;
  const Scorer scorer(options);
  std::vector<float> logits(2), expected(2);
  scorer.score(scorer.make_request(), std::vector<int64_t>{4}, logits);
  Scorer(run_->options(cache_)).score(scorer.make_request(), std::vector<int64_t>{4}, expected);
  EXPECT_EQ(logits, expected);
  options.missing = MissingItems::score;  // needs items' features
  EXPECT_THAT(user_error([&] { Scorer{options}; }), HasSubstr("items.h5: no such file"));
  options.items = run_->data() + "/items.h5";
  EXPECT_EQ(Scorer(options).score(scorer.make_request(), std::vector<int64_t>{4}, logits).cached, 1);
}

TEST_F(ScorerTest, ItemsToCacheAreTheDatasetsOrTheTables) {
  ServedRun run({{"features.candidate", "[item]"}, {"features.history", "[item, age]"}});
  run.train(2);
  const std::string served = run.file("served");
  std::filesystem::create_directories(served);
  std::string text = read_file(run.data() + "/dataset.yaml");
  for (const auto& [from, to] : {std::pair<std::string, std::string>{"items: 40", "items: 0"}})
    text.replace(text.find(from), from.size(), to);
  write_file(served + "/dataset.yaml", text);
  EXPECT_EQ(items_to_cache(ServedModel({run.path(), "", "", {}}), "").size(), 40u);
  const auto trained = items_to_cache(ServedModel({run.path(), "", served, {}}), "");
  EXPECT_GT(trained.size(), 20u);
  EXPECT_LE(trained.size(), 40u);
  EXPECT_TRUE(std::is_sorted(trained.begin(), trained.end()));
}

TEST_F(ScorerTest, RunsThatAreNoneAreRefused) {
  ScorerOptions options;
  options.run = run_->file("nowhere");
  EXPECT_THAT(user_error([&] { Scorer{options}; }), HasSubstr("nowhere is not a run directory"));
  ServedRun untrained;
  EXPECT_THAT(user_error([&] { Scorer(untrained.options()); }), HasSubstr("has no usable checkpoint"));
}

}  // namespace
}  // namespace lime
