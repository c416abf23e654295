// Where batches end: as many as were planned, within the limits, and equally large.
#include "io/batch_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <optional>

#include "io/reader.h"
#include "runtime/philox.h"
#include "tests/io/random_log_fixture.h"

namespace lime {
namespace {

// A shard's histories, in windows of 1,000 requests: lengths of a heavy tail that grows from window to
// window.
struct Shard {
  std::vector<std::vector<int64_t>> windows;
  Shard(uint64_t seed, int64_t count, double shortest, double longest, double spread, int64_t most) {
    const Philox random(seed, 1);
    for (int64_t w = 0; w < count; ++w) {
      const double at = count == 1 ? 0 : static_cast<double>(w) / static_cast<double>(count - 1);
      const double median = shortest * std::pow(longest / shortest, at);
      auto& lengths = windows.emplace_back();
      for (uint64_t i = 0; i < 1000; ++i) {
        const double length = median * std::exp(spread * random.normal(static_cast<uint64_t>(w) * 1000 + i));
        lengths.push_back(std::min(most, static_cast<int64_t>(length)));
      }
    }
  }
  std::vector<WindowLoad> loads() const {
    std::vector<WindowLoad> all;
    for (const auto& lengths : windows) {
      WindowLoad& load = all.emplace_back();
      for (const int64_t length : lengths) {
        ++load.requests;
        load.tokens += length;
        load.squares += static_cast<double>(length) * static_cast<double>(length);
      }
    }
    return all;
  }
};

struct Cut {
  std::vector<int64_t> requests, tokens;  // by batch
};

// As the reader cuts: each batch planned from where it begins.
Cut cut(const Shard& shard, const BatchPlan& plan) {
  Cut result;
  std::optional<BatchPlan::End> end;
  int64_t done = 0;
  for (size_t w = 0; w < shard.windows.size(); ++w) {
    const BatchPlan::WindowCost cost = plan.window(0, static_cast<int64_t>(w));
    int64_t requests = 0, tokens = 0;
    for (const int64_t length : shard.windows[w]) {
      const bool full = end && (result.requests.back() == end->requests ||
                                cost.middle(requests, tokens, length) >= end->cost ||
                                (plan.budget() > 0 && result.tokens.back() + length > plan.budget()));
      if (!end || full) {
        end = plan.next_end(done, cost.after(requests, tokens));
        result.requests.push_back(0), result.tokens.push_back(0);
      }
      ++result.requests.back(), ++requests, ++done;
      result.tokens.back() += length, tokens += length;
    }
  }
  return result;
}

int64_t batches_of(const std::vector<Shard>& shards, BatchLimits limits) {
  double most = 0;
  for (const auto& shard : shards) most = std::max(most, cost_of(shard.loads(), limits));
  return static_cast<int64_t>(std::ceil(most));
}

// Shards end with the planned batch, and no batch is small.
void expect_even(const std::vector<Shard>& shards, BatchLimits limits) {
  SCOPED_TRACE(testing::Message() << "limits " << limits.requests << ", " << limits.tokens);
  const int64_t batches = batches_of(shards, limits);
  ASSERT_GT(batches, 10);
  for (const auto& shard : shards) {
    const Cut whole = cut(shard, BatchPlan(limits, batches, {shard.loads()}));
    EXPECT_EQ(static_cast<int64_t>(whole.requests.size()), batches);
    std::vector<double> filled;  // by the limit that is nearer
    for (size_t b = 0; b < whole.requests.size(); ++b) {
      EXPECT_LE(whole.requests[b], limits.requests);
      EXPECT_LE(whole.tokens[b], limits.tokens);
      filled.push_back(std::max(static_cast<double>(whole.requests[b]) / static_cast<double>(limits.requests),
                                static_cast<double>(whole.tokens[b]) / static_cast<double>(limits.tokens)));
    }
    const double mean =
        std::accumulate(filled.begin(), filled.end(), 0.0) / static_cast<double>(filled.size());
    EXPECT_GT(*std::ranges::min_element(filled), 0.5 * mean);
    EXPECT_GT(filled.back(), 0.5 * mean);
  }
}

TEST(BatchPlan, ShardsOfUnequalSizeEndWithTheSameBatch) {
  const std::vector<Shard> shards = {
      {1, 10, 100, 100, 0.5, 1000}, {2, 6, 100, 100, 0.5, 1000}, {3, 9, 80, 120, 0.5, 1000}};
  expect_even(shards, {512, 20000});  // by tokens
  expect_even(shards, {100, 90000});  // by requests
  expect_even(shards, {128, 14000});  // by both
  expect_even(shards, {512, 1100});   // by tokens, with few requests in a batch
}

TEST(BatchPlan, FirstDaysMayMeetTheOneLimitAndLastDaysTheOther) {
  const std::vector<Shard> shards = {{1, 20, 2, 800, 0.5, 4000}, {2, 17, 2, 700, 0.5, 4000}};
  expect_even(shards, {200, 20000});
  expect_even(shards, {500, 100000});
}

TEST(BatchPlan, HeavyTailsFillBatchesAsWellAsCuttingAtTheBudgetDoes) {
  const Shard shard(7, 20, 300, 300, 1.5, 20000);
  for (const int64_t budget : {60000, 100000, 400000}) {
    const BatchLimits limits{4096, budget};
    const auto greedy = static_cast<double>(cut(shard, BatchPlan(limits)).requests.size());
    const int64_t batches = batches_of({shard}, limits);
    EXPECT_LT(static_cast<double>(batches), 1.2 * greedy + 1) << budget;
    const auto planned =
        static_cast<int64_t>(cut(shard, BatchPlan(limits, batches, {shard.loads()})).requests.size());
    EXPECT_LE(std::abs(planned - batches), 1 + batches / 50) << budget;
  }
}

// As histories are that all have max_history events.
TEST(BatchPlan, EqualHistoriesFillBatchesExactly) {
  const Shard shard(1, 4, 16, 16, 0, 16);
  for (const int64_t budget : {1, 8, 15, 16, 24, 31, 32, 33, 40, 47, 48, 50, 100, 1000}) {
    const BatchLimits limits{512, budget};
    const int64_t each = std::max<int64_t>(budget / 16, 1), batches = batches_of({shard}, limits);
    EXPECT_EQ(batches, (4000 + each - 1) / each) << budget;
    EXPECT_EQ(cut(shard, BatchPlan(limits, batches, {shard.loads()})).requests.size(),
              static_cast<size_t>(batches))
        << budget;
  }
  EXPECT_EQ(batches_of({shard}, {3, 100}), 1334);  // by requests, though the budget is near
}

// The learning rate's schedule ends with the planned batch, so an epoch has to end there, too.
TEST(BatchPlan, AFewHistoriesABatchAreAsManyBatchesAsPlanned) {
  for (const double spread : {0.05, 0.2, 0.3})
    for (const int64_t budget : {30, 50, 100, 130, 150, 250, 300, 330, 400, 600}) {
      const Shard shard(3, 4, 100, 100, spread, 1000);
      const BatchLimits limits{512, budget};
      const int64_t batches = batches_of({shard}, limits);
      EXPECT_LE(batches, 4000) << spread << " " << budget;
      const auto planned =
          static_cast<int64_t>(cut(shard, BatchPlan(limits, batches, {shard.loads()})).requests.size());
      EXPECT_LE(std::abs(planned - batches), 2 + batches / 33) << spread << " " << budget;
    }
}

TEST(BatchPlan, AFewHistoriesOfAHeavyTailABatchAreAThirdFewerAtMost) {
  for (const int64_t budget : {100, 200, 300, 400}) {
    const Shard shard(3, 4, 60, 60, 1, 1000);
    const BatchLimits limits{512, budget};
    const int64_t batches = batches_of({shard}, limits);
    const auto planned =
        static_cast<double>(cut(shard, BatchPlan(limits, batches, {shard.loads()})).requests.size());
    EXPECT_GT(planned, 2.0 / 3 * static_cast<double>(batches)) << budget;
    EXPECT_LE(planned, static_cast<double>(batches) + 2) << budget;
  }
}

TEST(BatchPlan, WithoutABudgetBatchesDifferByOneRequest) {
  const Shard shard(1, 3, 10, 10, 1, 100);
  const BatchPlan plan({512, 0}, 7, 3000);
  const Cut whole = cut(shard, plan);
  EXPECT_EQ(whole.requests.size(), 7u);
  for (const int64_t requests : whole.requests) EXPECT_NEAR(static_cast<double>(requests), 3000.0 / 7, 1);
}

// What the reader makes of it.
class PlannedReader : public OnRandomLog {
 protected:
  static ReaderOptions options() {
    ReaderOptions options = reader_options(*dataset_, 4);
    options.history_tokens = 250, options.max_history = 30;
    return options;
  }
  static ReaderOptions planned(ReaderOptions options, int64_t batches) {
    options.histories = measure_histories(*dataset_, options);
    options.batches = batches;
    return options;
  }
};

TEST_F(PlannedReader, HistoriesAreMeasuredAsTheyAreRead) {
  ReaderOptions all = options();
  all.history_tokens = 0, all.shuffle = false;
  BatchReader reader(*dataset_, all);
  std::map<std::pair<std::string, int64_t>, std::vector<int64_t>> lengths;  // by row of the file
  for (const auto& batch : read_all(reader))
    for (const auto& micro : batch.micro)
      for (size_t r = 0; r < micro.user_id.size(); ++r)
        lengths[{all.days[static_cast<size_t>(micro.day[r])], micro.part[r]}].push_back(
            micro.history_offsets[r + 1] - micro.history_offsets[r]);
  const auto measured = measure_histories(*dataset_, all);
  ASSERT_EQ(measured->size(), lengths.size());
  for (const auto& [unit, windows] : *measured) {
    const auto& read = lengths.at(unit);
    EXPECT_EQ(static_cast<int64_t>(windows.size()), (static_cast<int64_t>(read.size()) + 31) / 32);
    for (size_t w = 0; w < windows.size(); ++w) {
      const size_t begin = 32 * w, end = std::min(begin + 32, read.size());
      WindowLoad expected{static_cast<int64_t>(end - begin), 0, 0};
      for (size_t i = begin; i < end; ++i) {
        expected.tokens += read[i];
        expected.squares += static_cast<double>(read[i] * read[i]);
      }
      EXPECT_EQ(windows[w].requests, expected.requests);
      EXPECT_EQ(windows[w].tokens, expected.tokens);
      EXPECT_EQ(windows[w].squares, expected.squares);
    }
  }
}

TEST_F(PlannedReader, EveryRequestOnceWithinTheBudgetInAsManyBatchesOnAnyRanks) {
  const int64_t batches = batches_needed(*measure_histories(*dataset_, options()), options());
  BatchReader alone(*dataset_, planned(options(), batches));
  EXPECT_EQ(alone.batches_in_epoch(), batches);
  const auto reference = read_all(alone);
  EXPECT_NEAR(static_cast<double>(reference.size() - 1), static_cast<double>(batches), 1);
  std::vector<int64_t> seen;
  for (const auto& batch : reference)
    for (const auto& micro : batch.micro)
      if (micro.requests() > 1) {
        EXPECT_LE(micro.history_offsets.back(), 250);
        EXPECT_LE(micro.requests(), 16);
      }
  for (int64_t shard = 0; shard < 4; ++shard)
    for (const auto& rids : rids_of_shard(reference, shard)) {
      EXPECT_FALSE(rids.empty());
      seen.insert(seen.end(), rids.begin(), rids.end());
    }
  std::sort(seen.begin(), seen.end());
  std::vector<int64_t> all(log_->requests.size());
  std::iota(all.begin(), all.end(), 0);
  EXPECT_EQ(seen, all);

  for (int rank = 0; rank < 2; ++rank) {
    ReaderOptions half = options();
    half.ranks = 2, half.rank = rank;
    BatchReader reader(*dataset_, planned(half, batches));
    const auto mine = read_all(reader);
    for (int64_t shard = 2 * rank; shard < 2 * rank + 2; ++shard)
      EXPECT_EQ(rids_of_shard(mine, shard), rids_of_shard(reference, shard));
  }
}

TEST_F(PlannedReader, GoesOnWithTheSameBatchesFromAnyPosition) {
  const int64_t batches = batches_needed(*measure_histories(*dataset_, options()), options());
  BatchReader whole(*dataset_, planned(options(), batches));
  const auto reference = read_all(whole);
  for (size_t from = 1; from + 1 < reference.size(); from += 3) {
    BatchReader rest(*dataset_, planned(options(), batches));
    rest.seek(reference[from - 1].next);
    for (size_t b = from; b < reference.size(); ++b) {
      const Batch batch = rest.next();
      for (int64_t shard = 0; shard < 4; ++shard)
        ASSERT_EQ(rids_of_shard({batch}, shard), rids_of_shard({reference[b]}, shard)) << from << " " << b;
      EXPECT_EQ(batch.next, reference[b].next);
    }
  }
}

}  // namespace
}  // namespace lime
