#include "io/reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "io/hdf5_file.h"
#include "tests/io/random_log_fixture.h"

namespace lime {
namespace {

using testing::HasSubstr;

class Reader : public OnRandomLog {
 protected:
  static std::vector<const EventRow*> truncated(std::vector<const EventRow*> history, int64_t max_history) {
    const auto size = static_cast<int64_t>(history.size());
    if (size > max_history) history.erase(history.begin(), history.begin() + (size - max_history));
    return history;
  }
  static std::vector<int64_t> all_rids() {
    std::vector<int64_t> rids(log_->requests.size());
    std::iota(rids.begin(), rids.end(), 0);
    return rids;
  }
};

TEST_F(Reader, EveryRequestIsReadOnceWithTheLogsValues) {
  for (const bool shuffle : {false, true}) {
    auto options = reader_options(*dataset_, 4);
    options.shuffle = shuffle;
    options.max_history = 30;
    BatchReader reader(*dataset_, options);
    EXPECT_EQ(reader.requests_in_epoch(), static_cast<int64_t>(log_->requests.size()));
    std::vector<int64_t> seen;
    int64_t cut = 0, expected_cut = 0;
    for (const auto& batch : read_all(reader)) {
      ASSERT_EQ(batch.micro.size(), 4u);
      for (const auto& micro : batch.micro) {
        cut += micro.truncated;
        for (int64_t r = 0; r < micro.requests(); ++r) {
          const auto& request = log_->requests[static_cast<size_t>(rid_of(micro, r))];
          const auto history = history_of(*log_, request.user, request.time_ms);
          expected_cut += history.size() > 30;
          seen.push_back(expect_request(*log_, micro, r, truncated(history, 30)));
          EXPECT_EQ(options.days[static_cast<size_t>(micro.day[static_cast<size_t>(r)])], request.day);
        }
      }
      if (HasFailure()) return;
    }
    std::sort(seen.begin(), seen.end());
    EXPECT_EQ(seen, all_rids());
    EXPECT_EQ(cut, expected_cut);
    EXPECT_GT(cut, 0);
  }
}

TEST_F(Reader, FilesHoldRequestsInOrderAndHistoriesEndStrictlyBefore) {
  for (const auto& day : dataset_->days())
    for (int64_t p = 0; p < dataset_->parts(); ++p) {
      const Hdf5File events(dataset_->events_path(p), Hdf5File::Mode::read);
      const Hdf5File requests(dataset_->day_path(day.day, p), Hdf5File::Mode::read);
      const auto all = events.read<int64_t>("/event/time"),
                 offsets = events.read<int64_t>("/history/offsets"),
                 histories = events.read<int64_t>("/history/user");
      std::map<int64_t, std::vector<int64_t>> times_of;
      for (size_t h = 0; h < histories.size(); ++h)
        times_of[histories[h]] = {all.begin() + offsets[h], all.begin() + offsets[h + 1]};
      const auto users = requests.read<int64_t>("/request/user"),
                 when = requests.read<int64_t>("/request/time");
      const auto ends = requests.read<int64_t>("/request/history_end"),
                 rids = requests.read<int64_t>("/request/rid");
      for (size_t r = 0; r < users.size(); ++r) {
        const auto& times = times_of[users[r]];
        const auto before = std::lower_bound(times.begin(), times.end(), when[r]) - times.begin();
        ASSERT_EQ(ends[r], before);
        if (r > 0) {
          ASSERT_LT(std::tie(when[r - 1], users[r - 1], rids[r - 1]), std::tie(when[r], users[r], rids[r]));
        }
      }
    }
}

TEST_F(Reader, BatchesDoNotDependOnRanksThreadsOrPrefetch) {
  auto options = reader_options(*dataset_, 4);
  options.history_tokens = 200;
  BatchReader alone(*dataset_, options);
  const auto reference = read_all(alone);
  for (const int ranks : {1, 2, 3, 4}) {
    std::vector<int64_t> seen;
    for (int rank = 0; rank < ranks; ++rank) {
      options.rank = rank;
      options.ranks = ranks;
      options.threads = 3;
      options.prefetch = rank + 1;
      BatchReader reader(*dataset_, options);
      const auto batches = read_all(reader);
      for (int64_t shard = rank * 4 / ranks; shard < (rank + 1) * 4 / ranks; ++shard) {
        EXPECT_EQ(rids_of_shard(batches, shard), rids_of_shard(reference, shard)) << "shard " << shard;
        for (const auto& rids : rids_of_shard(batches, shard))
          seen.insert(seen.end(), rids.begin(), rids.end());
      }
    }
    std::sort(seen.begin(), seen.end());
    EXPECT_EQ(seen, all_rids()) << ranks << " ranks";
  }
}

// Context parallelism: what readers of parts give is, part after part, what one reader gives.
TEST_F(Reader, PartsOfHistoriesAndCandidatesMakeUpTheWhole) {
  auto options = reader_options(*dataset_, 4);
  options.history_tokens = 200, options.max_history = 30;
  BatchReader alone(*dataset_, options);
  const auto whole = read_all(alone);
  for (const int parts : {2, 4}) {
    SCOPED_TRACE(parts);
    std::vector<std::vector<Batch>> of_part;
    for (int part = 0; part < parts; ++part) {
      options.history_part = part, options.history_parts = parts;
      BatchReader reader(*dataset_, options);
      of_part.push_back(read_all(reader));
      ASSERT_EQ(of_part.back().size(), whole.size());
    }
    int64_t alone_in_last = 0, alone_in_first = 0;  // single candidates
    const size_t tasks = options.spec.tasks.size();
    for (size_t b = 0; b < whole.size(); ++b)
      for (size_t m = 0; m < whole[b].micro.size(); ++m) {
        const MicroBatch& all = whole[b].micro[m];
        EXPECT_TRUE(all.whole_offsets.empty() && all.later_offsets.empty());
        for (int part = 0; part < parts; ++part) {
          const MicroBatch& mine = of_part[static_cast<size_t>(part)][b].micro[m];
          ASSERT_EQ(mine.user_id, all.user_id);
          ASSERT_EQ(mine.whole_offsets, all.history_offsets);
          EXPECT_EQ(mine.user.id_columns[0].ids, all.user.id_columns[0].ids);
          EXPECT_EQ(mine.truncated, all.truncated);
          EXPECT_EQ(of_part[static_cast<size_t>(part)][b].next, whole[b].next);
        }
        for (size_t r = 0; r < all.user_id.size(); ++r) {
          int64_t event = all.history_offsets[r], candidate = all.candidate_offsets[r];
          const int64_t events = all.history_offsets[r + 1] - event,
                        candidates = all.candidate_offsets[r + 1] - candidate;
          for (int part = 0; part < parts; ++part) {
            const MicroBatch& mine = of_part[static_cast<size_t>(part)][b].micro[m];
            const int64_t n = mine.history_offsets[r + 1] - mine.history_offsets[r],
                          c = mine.candidate_offsets[r + 1] - mine.candidate_offsets[r];
            EXPECT_TRUE(n >= events / parts && n <= (events + parts - 1) / parts) << n << " of " << events;
            EXPECT_TRUE(c >= candidates / parts && c <= (candidates + parts - 1) / parts);
            for (size_t f = 0; f < all.history.id_columns.size(); ++f) {
              const IdColumn &from = all.history.id_columns[f], &to = mine.history.id_columns[f];
              if (!from.offsets.empty()) continue;
              const auto first = from.ids.begin() + event;
              EXPECT_TRUE(std::equal(first, first + n, to.ids.begin() + mine.history_offsets[r]));
            }
            event += n;
            EXPECT_EQ(mine.later_offsets[r + 1] - mine.later_offsets[r], all.history_offsets[r + 1] - event);
            for (int64_t i = 0; i < c; ++i, ++candidate) {
              const auto from = static_cast<size_t>(candidate),
                         to = static_cast<size_t>(mine.candidate_offsets[r] + i);
              ASSERT_EQ(mine.item[to], all.item[from]);
              for (size_t t = 0; t < tasks; ++t)
                ASSERT_EQ(mine.labels[to * tasks + t], all.labels[from * tasks + t]);
            }
            if (candidates == 1 && c == 1) ++(part == 0 ? alone_in_first : alone_in_last);
          }
          EXPECT_EQ(event, all.history_offsets[r + 1]);
          EXPECT_EQ(candidate, all.candidate_offsets[r + 1]);
        }
      }
    EXPECT_GT(alone_in_first, 0);
    EXPECT_GT(alone_in_last, 0);
  }
}

// Shards 0 and 1 hold two parts, the others one: all of them end with the last batch.
TEST_F(Reader, AnEpochIsSpreadEvenlyOverItsBatches) {
  auto options = reader_options(*dataset_, 5);
  BatchReader reader(*dataset_, options);
  auto batches = read_all(reader);
  batches.pop_back();  // the empty one that ends it
  ASSERT_EQ(static_cast<int64_t>(batches.size()), reader.batches_in_epoch());
  std::set<int64_t> of_shards;
  for (size_t shard = 0; shard < 5; ++shard) {
    std::set<int64_t> sizes;
    int64_t requests = 0;
    for (const auto& batch : batches) {
      sizes.insert(batch.micro[shard].requests());
      requests += batch.micro[shard].requests();
    }
    const auto all = static_cast<int64_t>(batches.size());
    EXPECT_EQ(*sizes.begin(), requests / all) << shard;
    EXPECT_EQ(*sizes.rbegin(), (requests + all - 1) / all) << shard;
    EXPECT_LE(*sizes.rbegin(), options.requests);
    of_shards.insert(requests);
  }
  EXPECT_GT(*of_shards.rbegin(), 3 * *of_shards.begin() / 2);
}

TEST_F(Reader, ShardsThatHaveRunDryGiveEmptyMicroBatchesWithoutEnd) {
  auto options = reader_options(*dataset_, 5);
  options.history_tokens = 60;  // cuts as many batches as a shard's histories take
  BatchReader reader(*dataset_, options);
  const auto batches = read_all(reader);
  std::set<size_t> lengths;
  for (int64_t shard = 0; shard < 5; ++shard) lengths.insert(rids_of_shard(batches, shard).size());
  EXPECT_GT(lengths.size(), 1u);
  for (int i = 0; i < 3; ++i) {
    const auto batch = reader.next();
    ASSERT_EQ(batch.micro.size(), 5u);
    EXPECT_TRUE(batch.ended());
    for (const auto& micro : batch.micro) {
      EXPECT_EQ(micro.history_offsets, std::vector<int64_t>{0});
      EXPECT_EQ(micro.history.id_columns.size(), 6u);
    }
    EXPECT_EQ(batch.next, batches.back().next);
  }
}

TEST_F(Reader, TheBatchesOfAnEpochAreKnownBeforehandOnAnyRank) {
  for (const int64_t shards : {1, 4, 5}) {  // of 7 parts: shards of 5 differ in length
    auto options = reader_options(*dataset_, shards);
    BatchReader reader(*dataset_, options);
    const int64_t batches = reader.batches_in_epoch();  // read_all adds the empty one that ends it
    EXPECT_EQ(static_cast<int64_t>(read_all(reader).size()), batches + 1) << shards << " shards";
    options.ranks = static_cast<int>(shards);
    options.rank = options.ranks - 1;
    EXPECT_EQ(BatchReader(*dataset_, options).batches_in_epoch(), batches) << shards << " shards";
  }
}

TEST_F(Reader, ContinuesExactlyAtEveryPosition) {
  auto options = reader_options(*dataset_, 4);
  options.history_tokens = 400;
  options.epoch = 2;
  options.prefetch = 3;
  BatchReader whole(*dataset_, options);
  const auto batches = read_all(whole);
  ASSERT_GT(batches.size(), 10u);
  for (size_t t = 0; t + 1 < batches.size(); ++t) {
    options.ranks = t % 2 == 0 ? 1 : 2;  // also onto another number of ranks, given all shards' positions
    options.rank = options.ranks - 1;
    BatchReader reader(*dataset_, options);
    reader.seek(batches[t].next);
    for (size_t ahead = 1; ahead <= 2 && t + ahead < batches.size(); ++ahead) {
      const auto batch = reader.next();
      for (const auto& micro : batch.micro) {
        const auto& expected = batches[t + ahead].micro[static_cast<size_t>(micro.shard)];
        ASSERT_EQ(micro.user.id_columns[0].ids, expected.user.id_columns[0].ids);
        ASSERT_EQ(micro.history.id_columns[0].ids, expected.history.id_columns[0].ids);
      }
      for (const auto& next : batch.next)
        ASSERT_EQ(next, batches[t + ahead].next[static_cast<size_t>(next.shard)]);
    }
  }
  BatchReader reader(*dataset_, options);
  auto beyond = batches.front().next;
  for (auto& position : beyond) position.request = 1 << 20;
  EXPECT_THAT(user_error([&] { reader.seek(beyond); }), HasSubstr("cannot continue"));
}

TEST_F(Reader, ShufflesByEpochAndSeedAndFindsTheSameAgain) {
  const auto order = [&](uint64_t seed, int64_t epoch, bool shuffle, int64_t shards, int64_t window) {
    auto options = reader_options(*dataset_, shards);
    options.seed = seed;
    options.epoch = epoch;
    options.shuffle = shuffle;
    options.shuffle_window = window;
    BatchReader reader(*dataset_, options);
    std::vector<int64_t> rids;
    for (const auto& batch : rids_of_shard(read_all(reader), 0))
      rids.insert(rids.end(), batch.begin(), batch.end());
    return rids;
  };
  // 7 shards have one part each, so that only requests move; in windows of one request only parts do.
  for (const auto& [shards, window] : {std::pair{7, 32}, std::pair{1, 1}}) {
    const auto first = order(1, 0, true, shards, window);
    EXPECT_EQ(first, order(1, 0, true, shards, window));
    EXPECT_NE(first, order(1, 1, true, shards, window));
    EXPECT_NE(first, order(2, 0, true, shards, window));
    auto sorted = first, plain = order(1, 0, false, shards, window);
    EXPECT_NE(first, plain);
    std::sort(sorted.begin(), sorted.end());
    std::sort(plain.begin(), plain.end());
    EXPECT_EQ(sorted, plain);
  }
  // Days stay in order: only parts of a day and requests in a window move.
  BatchReader reader(*dataset_, reader_options(*dataset_, 2));
  std::vector<int64_t> days;
  for (const auto& batch : read_all(reader))
    days.insert(days.end(), batch.micro[0].day.begin(), batch.micro[0].day.end());
  EXPECT_TRUE(std::is_sorted(days.begin(), days.end()));
}

TEST_F(Reader, KeepsToTheTokenBudget) {
  auto options = reader_options(*dataset_, 4);
  options.history_tokens = 60;
  options.max_history = 100;
  BatchReader reader(*dataset_, options);
  int64_t requests = 0, alone = 0;
  for (const auto& batch : read_all(reader))
    for (const auto& micro : batch.micro) {
      requests += micro.requests();
      EXPECT_LE(micro.requests(), 16);
      if (micro.history_offsets.back() > 60) {
        EXPECT_EQ(micro.requests(), 1);
        ++alone;
      }
    }
  EXPECT_EQ(requests, static_cast<int64_t>(log_->requests.size()));
  EXPECT_GT(alone, 0);

  // A budget that is never reached: micro-batches are as large as they may be, until a shard ends.
  options.history_tokens = int64_t{1} << 40;
  BatchReader rich(*dataset_, options);
  const auto batches = read_all(rich);
  for (size_t b = 0; b + 1 < batches.size(); ++b)
    for (size_t m = 0; m < 4; ++m)
      if (!batches[b + 1].micro[m].empty()) {
        EXPECT_EQ(batches[b].micro[m].requests(), options.requests);
      }
}

TEST_F(Reader, FrozenHistoriesEndAtTheFirstDay) {
  auto options = reader_options(*dataset_, 2);
  options.days.erase(options.days.begin());
  options.history_mode = HistoryMode::frozen;
  const int64_t cut = dataset_->day_start_ms(options.days.front());
  BatchReader reader(*dataset_, options);
  int64_t shorter = 0;
  for (const auto& batch : read_all(reader))
    for (const auto& micro : batch.micro)
      for (int64_t r = 0; r < micro.requests(); ++r) {
        const auto& request = log_->requests[static_cast<size_t>(rid_of(micro, r))];
        const auto history = history_of(*log_, request.user, std::min(cut, request.time_ms));
        expect_request(*log_, micro, r, history);
        shorter += history.size() < history_of(*log_, request.user, request.time_ms).size();
      }
  EXPECT_GT(shorter, 100);
}

TEST_F(Reader, NoHistoryIsEmptyAndAStrangersIsAnothersPast) {
  auto options = reader_options(*dataset_, 2);
  options.history_mode = HistoryMode::none;
  BatchReader none(*dataset_, options);
  int64_t requests = 0;
  for (const auto& batch : read_all(none))
    for (const auto& micro : batch.micro)
      for (int64_t r = 0; r < micro.requests(); ++r, ++requests) expect_request(*log_, micro, r, {});
  EXPECT_EQ(requests, static_cast<int64_t>(log_->requests.size()));

  // By user: users of the part, place among them.
  std::map<int64_t, std::pair<std::vector<int64_t>, size_t>> part_of;
  for (int64_t p = 0; p < dataset_->parts(); ++p) {
    const auto ids = Hdf5File(dataset_->events_path(p), Hdf5File::Mode::read).read<int64_t>("/user/id");
    for (size_t i = 0; i < ids.size(); ++i) part_of[ids[i]] = {ids, i};
  }
  options.history_mode = HistoryMode::stranger;
  BatchReader stranger(*dataset_, options);
  for (const auto& batch : read_all(stranger))
    for (const auto& micro : batch.micro)
      for (int64_t r = 0; r < micro.requests(); ++r) {
        const auto& request = log_->requests[static_cast<size_t>(rid_of(micro, r))];
        const auto& [users, place] = part_of.at(request.user);
        std::vector<const EventRow*> history;
        for (size_t step = 1; step < users.size() && history.empty(); ++step)
          history = history_of(*log_, users[(place + step) % users.size()], request.time_ms);
        expect_request(*log_, micro, r, truncated(history, options.max_history));
      }
}

TEST_F(Reader, RefusesWhatItCannotRead) {
  auto options = reader_options(*dataset_, 8);
  EXPECT_THAT(user_error([&] { BatchReader(*dataset_, options); }),
              testing::AllOf(HasSubstr("7 parts"), HasSubstr("8 micro")));
  options = reader_options(*dataset_, 2);
  options.days = {"2022-04-01"};
  EXPECT_THAT(user_error([&] { BatchReader(*dataset_, options); }), HasSubstr("no day 2022-04-01"));
  const auto refused = [&](auto&& change) {
    auto spec = full_spec();
    change(spec);
    return user_error([&] { resolve_features(dataset_->schema(), spec); });
  };
  EXPECT_EQ(refused([](auto& s) { s.history = {"autor"}; }),
            "features.history: unknown feature 'autor' (nearest: 'author'); available: item, age, action, "
            "tags, dwell, "
            "author, topics, price");
  EXPECT_THAT(refused([](auto& s) { s.candidate = {"action"}; }),
              HasSubstr("features.candidate: unknown feature 'action'"));
  EXPECT_THAT(refused([](auto& s) { s.user = {"usr"}; }), HasSubstr("(nearest: 'user')"));
  EXPECT_THAT(refused([](auto& s) { s.history = {"item", "item"}; }), HasSubstr("twice"));
  auto schema = dataset_->schema();
  for (const auto kind : {ColumnKind::id, ColumnKind::real}) {  // somebody's age: with a table, and without
    schema.columns.push_back({"age", ColumnGroup::user, kind});
    auto spec = full_spec();
    spec.user = {"age"};
    const auto resolve = [&] { resolve_features(schema, spec); };
    if (kind == ColumnKind::id)
      EXPECT_THAT(user_error(resolve), HasSubstr("features.user: column 'age' would share a table"));
    else
      EXPECT_NO_THROW(resolve());
    if (kind == ColumnKind::real) {
      spec.buckets["age"] = NumberBuckets::between({18, 30});
      EXPECT_THAT(user_error(resolve), HasSubstr("when it is imported, features.buckets.age: 0, or one"));
      spec.buckets["age"] = {0, {}};
      EXPECT_NO_THROW(resolve());
    }
    spec.history = {"item"};
    EXPECT_NO_THROW(resolve()) << "no other age";
    schema.columns.pop_back();
  }
  EXPECT_THAT(refused([](auto& s) { s.tasks = {"clicks"}; }),
              HasSubstr("unknown label 'clicks' (nearest: 'click')"));
  EXPECT_THAT(refused([](auto& s) { s.sample_weights = {"watches"}; }), HasSubstr("(nearest: 'watch')"));
}

TEST_F(Reader, WhatIsKeptOfTheLogChangesNoBatch) {
  std::vector<std::vector<std::vector<int64_t>>> read;
  for (const int64_t cache_bytes : {int64_t{0}, int64_t{20} << 10, int64_t{1} << 30}) {
    auto options = reader_options(*dataset_, 2);
    options.cache_bytes = cache_bytes;
    BatchReader reader(*dataset_, options);
    const auto batches = read_all(reader);
    read.push_back(rids_of_shard(batches, 0));
    if (cache_bytes == 0) continue;
    EXPECT_EQ(read.front(), read.back());
    for (const auto& micro : batches.front().micro) {
      const auto& request = log_->requests[static_cast<size_t>(rid_of(micro, 0))];
      expect_request(*log_, micro, 0, history_of(*log_, request.user, request.time_ms));
    }
  }
}

// Between days, what nobody reads is kept as far as the budget goes.
TEST_F(Reader, KeepsPartsForTheNextDay) {
  int64_t held[2];
  for (const bool keeps : {false, true}) {
    auto options = reader_options(*dataset_, 1);
    options.cache_bytes = keeps ? int64_t{1} << 30 : 0;
    BatchReader reader(*dataset_, options);
    read_all(reader);
    held[keeps] = reader.resident_bytes();
  }
  EXPECT_GT(held[true], 3 * held[false]);
}

TEST_F(Reader, MemoryIsBoundedByTheBudget) {
  auto options = reader_options(*dataset_, 2);
  options.prefetch = 2;
  BatchReader reader(*dataset_, options);
  for (int i = 0; i < 5; ++i) reader.next();
  const int64_t narrow = reader.resident_bytes();
  EXPECT_GT(narrow, 0);
  EXPECT_LT(narrow, 4 << 20);
  EXPECT_GE(reader.take_wait_ms(), 0.0);
  EXPECT_EQ(reader.take_wait_ms(), 0.0);
}

}  // namespace
}  // namespace lime
