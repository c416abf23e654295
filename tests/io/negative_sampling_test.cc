// Reading a share of the negatives: what is read, what it weighs, and that nothing else changes.
#include "io/negative_sampling.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "io/reader.h"
#include "tests/io/random_log.h"
#include "tests/support/test_support.h"

namespace lime {
namespace {

using testing::ElementsAre;

// In random_log's schema.
bool is_positive(const RequestRow::Candidate& candidate) {
  return candidate.labels[0] > 0 || candidate.labels[1] > 0;
}

class NegativeSampling : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    temp_ = new TempDirectory;
    log_ = new RandomLog(make_random_log(5, {60, 1500, 1500, 3}));
    for (auto& request : log_->requests)  // the random log's likes are never 0
      for (auto& candidate : request.candidates) candidate.labels[1] = candidate.labels[1] == 1 ? 1.0f : 0.0f;
    dataset_ = new Dataset(write_log(*log_, temp_->file("data"), small_writer(7)));
  }
  static void TearDownTestSuite() {
    delete dataset_;
    delete log_;
    delete temp_;
  }

  static ReaderOptions options(double keep) {
    ReaderOptions options = reader_options(*dataset_, 4);
    options.keep_negatives = keep;
    return options;
  }
  static std::vector<Batch> read(const ReaderOptions& options) {
    BatchReader reader(*dataset_, options);
    return read_all(reader);
  }

  // Which candidates of the log a reader gave: {rid, number in the request}.
  using Candidates = std::set<std::pair<int64_t, size_t>>;
  static Candidates candidates_of(const std::vector<Batch>& batches) {
    Candidates all;
    for (const auto& batch : batches)
      for (const auto& micro : batch.micro)
        for (int64_t r = 0; r < micro.requests(); ++r) {
          const auto k = static_cast<size_t>(r);
          const auto& shown = log_->requests.at(static_cast<size_t>(rid_of(micro, r))).candidates;
          size_t at = 0;
          for (int64_t row = micro.candidate_offsets[k]; row < micro.candidate_offsets[k + 1]; ++row) {
            const auto n = static_cast<size_t>(row);
            while (at < shown.size() && (shown[at].item != micro.item[n] ||
                                         shown[at].values.reals[0] != micro.candidate.real[2 * n]))
              ++at;
            EXPECT_LT(at, shown.size()) << "rid " << rid_of(micro, r) << " has no such candidate left";
            EXPECT_TRUE(all.emplace(rid_of(micro, r), at++).second);
          }
        }
    return all;
  }
  // The log with these candidates alone.
  static RandomLog thinned(const Candidates& kept) {
    RandomLog log = *log_;
    for (size_t rid = 0; rid < log.requests.size(); ++rid) {
      auto& candidates = log.requests[rid].candidates;
      std::vector<RequestRow::Candidate> left;
      for (size_t c = 0; c < candidates.size(); ++c)
        if (kept.contains({static_cast<int64_t>(rid), c})) left.push_back(candidates[c]);
      candidates = std::move(left);
    }
    return log;
  }

  static inline TempDirectory* temp_;
  static inline RandomLog* log_;
  static inline Dataset* dataset_;
};

TEST_F(NegativeSampling, AllPositivesAndAShareOfTheNegativesWithTheLogsValues) {
  const auto batches = read(options(0.25));
  const Candidates kept = candidates_of(batches);
  int64_t negatives = 0, of_them = 0, left_out = 0;
  for (size_t rid = 0; rid < log_->requests.size(); ++rid)
    for (size_t c = 0; c < log_->requests[rid].candidates.size(); ++c) {
      const bool is_kept = kept.contains({static_cast<int64_t>(rid), c});
      if (is_positive(log_->requests[rid].candidates[c])) {
        EXPECT_TRUE(is_kept) << "a positive of rid " << rid;
      } else {
        ++negatives, of_them += is_kept;
      }
    }
  const auto n = static_cast<double>(negatives);
  ASSERT_GT(negatives, 1000);
  EXPECT_NEAR(static_cast<double>(of_them), 0.25 * n, 4 * std::sqrt(n * 0.25 * 0.75));

  const RandomLog log = thinned(kept);
  std::set<int64_t> seen;
  for (const auto& batch : batches)
    for (const auto& micro : batch.micro) {
      left_out += micro.left_out;
      for (int64_t r = 0; r < micro.requests(); ++r) {
        const auto& request = log.requests[static_cast<size_t>(rid_of(micro, r))];
        EXPECT_FALSE(request.candidates.empty());
        seen.insert(expect_request(log, micro, r, history_of(log, request.user, request.time_ms), 4));
      }
      if (HasFailure()) return;
    }
  EXPECT_EQ(static_cast<size_t>(left_out) + seen.size(), log.requests.size());
  EXPECT_GT(left_out, 300);
}

TEST_F(NegativeSampling, DoesNotDependOnRanksPartsWindowsOrWhereOneGoesOn) {
  const Candidates kept = candidates_of(read(options(0.25)));
  Candidates by_ranks, by_parts;
  auto changed = options(0.25);
  for (changed.ranks = 2, changed.rank = 0; changed.rank < 2; ++changed.rank)
    by_ranks.merge(candidates_of(read(changed)));
  EXPECT_EQ(by_ranks, kept);
  changed = options(0.25);
  changed.history_parts = 2;
  for (; changed.history_part < 2; ++changed.history_part) by_parts.merge(candidates_of(read(changed)));
  EXPECT_EQ(by_parts, kept);
  changed = options(0.25);
  changed.shuffle_window = 7, changed.requests = 5, changed.virtual_shards = 3;
  EXPECT_EQ(candidates_of(read(changed)), kept);

  BatchReader whole(*dataset_, options(0.25)), rest(*dataset_, options(0.25));
  std::vector<Batch> first;
  for (int i = 0; i < 3; ++i) first.push_back(whole.next());
  rest.seek(first.back().next);
  Candidates both = candidates_of(first);
  both.merge(candidates_of(read_all(rest)));
  EXPECT_EQ(both, kept);
}

TEST_F(NegativeSampling, DrawsOthersEachEpochAndUnderAnotherSeed) {
  const Candidates kept = candidates_of(read(options(0.25)));
  auto changed = options(0.25);
  changed.epoch = 1;
  EXPECT_NE(candidates_of(read(changed)), kept);
  changed = options(0.25);
  changed.seed = 2;
  EXPECT_NE(candidates_of(read(changed)), kept);
}

// Batches of which nothing is left do not end an epoch, and batches keep their place in the log.
TEST_F(NegativeSampling, EmptyBatchesDoNotEndTheEpoch) {
  auto few = options(0.001);
  few.spec.task_weights = {1, 0};  // by likes alone, of which there are few
  few.requests = 1;
  BatchReader reader(*dataset_, few);
  const int64_t planned = reader.batches_in_epoch();
  const auto batches = read_all(reader);
  EXPECT_EQ(static_cast<int64_t>(batches.size()) - 1, planned);
  const auto nothing = [](const Batch& batch) {
    return !batch.ended() && std::ranges::all_of(batch.micro, [](auto& micro) { return micro.empty(); });
  };
  EXPECT_GT(std::ranges::count_if(batches, nothing), 10);

  int64_t positives = 0;
  const Candidates kept = candidates_of(batches);
  for (size_t rid = 0; rid < log_->requests.size(); ++rid)
    for (size_t c = 0; c < log_->requests[rid].candidates.size(); ++c)
      if (log_->requests[rid].candidates[c].labels[1] > 0) {
        EXPECT_TRUE(kept.contains({static_cast<int64_t>(rid), c}));
        ++positives;
      }
  EXPECT_GT(positives, 50);
  EXPECT_LT(static_cast<int64_t>(kept.size()), positives + 15);
}

TEST_F(NegativeSampling, ATokenBudgetCountsWhatIsRead) {
  auto budget = options(0.25);
  budget.history_tokens = 60;
  const auto batches = read(budget);
  EXPECT_EQ(candidates_of(batches), candidates_of(read(options(0.25))));
  for (const auto& batch : batches)
    for (const auto& micro : batch.micro)
      if (micro.requests() > 1) {
        EXPECT_LE(micro.history_offsets.back(), 60);
      }
}

TEST(KeepRows, OfEveryKindOfColumn) {
  ColumnData id{ColumnKind::id, {4, 5, 6, 7}, {}, {}},
      lists{ColumnKind::ids, {1, 2, 3, 4, 5}, {0, 2, 2, 3, 5}, {}};
  ColumnData real{ColumnKind::real, {}, {}, {0.5f, 1.5f, 2.5f, 3.5f}};
  for (auto* column : {&id, &lists, &real}) keep_rows(*column, {1, 3});
  EXPECT_THAT(id.ids, ElementsAre(5, 7));
  EXPECT_THAT(lists.offsets, ElementsAre(0, 0, 2));
  EXPECT_THAT(lists.ids, ElementsAre(4, 5));
  EXPECT_THAT(real.reals, ElementsAre(1.5f, 3.5f));
  std::vector<int64_t> offsets = {0, 1, 1, 3, 4};
  keep_rows_of_segments(offsets, {1, 3});
  EXPECT_THAT(offsets, ElementsAre(0, 0, 0, 1, 2));
}

}  // namespace
}  // namespace lime
