#include "io/reader.h"

#include <algorithm>
#include <cmath>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>

#include "io/batch_assembler.h"
#include "io/part_cache.h"
#include "io/shard_stream.h"
#include "runtime/error.h"
#include "runtime/stopwatch.h"

namespace lime {
namespace {

int64_t bytes_of(const FeatureColumns& features) {
  size_t bytes = 4 * features.real.capacity();
  for (const auto& column : features.id_columns)
    bytes += 8 * (column.ids.capacity() + column.offsets.capacity());
  return static_cast<int64_t>(bytes);
}

int64_t bytes_of(const MicroBatch& batch) {
  size_t bytes = 4 * (batch.labels.capacity() + batch.weights.capacity() + batch.metric_weight.capacity());
  for (const auto* values : {&batch.history_offsets, &batch.candidate_offsets, &batch.user_id, &batch.time_ms,
                             &batch.day, &batch.part, &batch.row, &batch.item})
    bytes += 8 * values->capacity();
  return static_cast<int64_t>(bytes) + bytes_of(batch.history) + bytes_of(batch.candidate) +
         bytes_of(batch.user);
}

ReaderOptions checked(ReaderOptions options, const Dataset& dataset) {
  LIME_CHECK(options.ranks >= 1 && options.rank >= 0 && options.rank < options.ranks, "rank ", options.rank,
             " of ", options.ranks);
  LIME_CHECK(
      options.history_parts >= 1 && options.history_part >= 0 && options.history_part < options.history_parts,
      "history part ", options.history_part, " of ", options.history_parts);
  LIME_CHECK(options.virtual_shards >= 1 && options.requests >= 1 && options.shuffle_window >= 1 &&
                 options.max_history >= 0 && options.spec.age_buckets >= 1 && options.keep_negatives > 0,
             "keep_negatives ", options.keep_negatives, ", shards ", options.virtual_shards, ", requests ",
             options.requests, ", window ", options.shuffle_window, ", max_history ", options.max_history,
             ", age_buckets ", options.spec.age_buckets);
  LIME_CHECK(!options.days.empty(), "no days");
  LIME_CHECK(options.batches == 0 || (options.histories && options.history_mode == HistoryMode::running),
             options.batches, " batches are planned of running histories");
  if (dataset.parts() < options.virtual_shards)
    throw UserError(str(dataset.directory(), ": has ", dataset.parts(),
                        " parts, expected at least one for each of ", options.virtual_shards,
                        " micro-batches; import it with more parts or train with fewer micro-batches"));
  options.prefetch = std::max<int64_t>(options.prefetch, 1);
  if (!options.items) options.items = read_items(dataset, options.spec);
  return options;
}

// The rule of parallel/tree_sum.h, leaves_of: contiguous, equal for powers of two, else as even as can be.
std::pair<int64_t, int64_t> shards_of(const ReaderOptions& o) {
  return {o.rank * o.virtual_shards / o.ranks, (o.rank + 1) * o.virtual_shards / o.ranks};
}

// Of an epoch, until the longest shard is dry; 0: not known.
int64_t batches_of(const Dataset& dataset, const ReaderOptions& options) {
  if (options.history_tokens > 0) return options.batches;
  std::vector<int64_t> requests(static_cast<size_t>(options.virtual_shards));
  for (const auto& day : options.days) {
    const auto& of_part = dataset.day(day).part_requests;
    for (size_t part = 0; part < of_part.size(); ++part) requests[part % requests.size()] += of_part[part];
  }
  const int64_t longest = *std::max_element(requests.begin(), requests.end());
  return (longest + options.requests - 1) / options.requests;
}

BatchPlan plan_of(const ShardStream& stream, const ReaderOptions& options, int64_t batches) {
  const BatchLimits limits{options.requests, options.history_tokens};
  if (batches == 0) return BatchPlan(limits);
  if (limits.tokens == 0) return {limits, batches, stream.requests()};
  std::vector<std::vector<WindowLoad>> windows;
  for (const auto& unit : stream.units())
    windows.push_back(options.histories->contains(unit) ? options.histories->at(unit)
                                                        : std::vector<WindowLoad>{});
  return {limits, batches, windows};
}

const ItemTable& items_of(const ReaderOptions& options, const ReadPlan& plan) {
  LIME_CHECK(options.items->columns() == plan.item_columns.size(), "a table of ", options.items->columns(),
             " item columns, for features of ", plan.item_columns.size());
  return *options.items;
}

}  // namespace

std::shared_ptr<const HistoryLoads> measure_histories(const Dataset& dataset, const ReaderOptions& options) {
  return std::make_shared<const HistoryLoads>(measure_histories(dataset, options.days, options.virtual_shards,
                                                                shards_of(options), options.shuffle_window,
                                                                options.max_history));
}

int64_t batches_needed(const HistoryLoads& histories, const ReaderOptions& options) {
  std::map<int64_t, double> of_shard;
  for (const auto& [unit, windows] : histories)
    of_shard[unit.second % options.virtual_shards] +=
        cost_of(windows, {options.requests, options.history_tokens});
  double most = 0;
  for (const auto& [shard, cost] : of_shard) most = std::max(most, cost);
  return static_cast<int64_t>(std::ceil(most));
}

std::shared_ptr<const ItemTable> read_items(const Dataset& dataset, const BatchSpec& spec) {
  return std::make_shared<const ItemTable>(
      dataset, ReadPlan(dataset.schema(), spec, HistoryMode::running).item_columns);
}

// One shard: its stream, and the micro-batches that are ready. Streams are only touched by the shard's thread
// once threads run; the rest is guarded by Impl::mutex.
struct BatchReader::Impl {
  struct Ready {
    MicroBatch batch;
    ShardPosition next;
    int64_t bytes;
  };
  struct Shard {
    Shard(ShardStream shard_stream, BatchPlan batch_plan)
        : stream(std::move(shard_stream)), plan(std::move(batch_plan)), start(stream.position()) {}
    ShardStream stream;
    BatchPlan plan;
    ShardPosition start;  // of the batch that next() returns next
    std::deque<Ready> ready;
    bool ended = false;  // nothing comes after what is ready
    std::exception_ptr error;
    int64_t window_bytes = 0;
  };

  Dataset dataset;
  ReaderOptions options;
  ReadPlan plan;
  const ItemTable& items;
  std::pair<int64_t, int64_t> range;  // this rank's shards
  PartCache cache;
  BatchAssembler assembler;
  std::vector<std::unique_ptr<Shard>> shards;

  mutable std::mutex mutex;
  std::condition_variable has_room, has_batch;
  bool stopping = false;
  std::vector<std::thread> threads;
  double wait_ms = 0;
  int64_t queued_bytes = 0;

  Impl(const Dataset& source, ReaderOptions reader_options)
      : dataset(source),
        options(checked(std::move(reader_options), source)),
        plan(dataset.schema(), options.spec, options.history_mode),
        items(items_of(options, plan)),
        range(shards_of(options)),
        cache(dataset, plan, items, options.days.size() > 1 ? options.cache_bytes : 0),
        assembler(options, plan, items, dataset.day_start_ms(options.days.front())) {
    const int64_t batches = batches_of(dataset, options);
    for (int64_t s = range.first; s < range.second; ++s) {
      ShardStream stream(dataset, options, plan, items, cache, s);
      const BatchPlan batch_plan = plan_of(stream, options, batches);
      shards.push_back(std::make_unique<Shard>(std::move(stream), batch_plan));
    }
  }

  ~Impl() {
    {
      std::lock_guard lock(mutex);
      stopping = true;
    }
    has_room.notify_all();
    for (auto& thread : threads) thread.join();
  }

  void start() {
    const size_t count =
        std::clamp<size_t>(static_cast<size_t>(std::max(options.threads, 1)), 1, shards.size());
    for (size_t t = 0; t < count; ++t) threads.emplace_back([this, t, count] { run(t, count); });
  }

  // The shard of this thread that has the fewest batches ready, or null: all have enough. `done` if none will
  // go on.
  Shard* neediest(size_t thread, size_t count, bool& done) {
    Shard* chosen = nullptr;
    done = true;
    for (size_t s = thread; s < shards.size(); s += count) {
      Shard& shard = *shards[s];
      if (shard.ended) continue;
      done = false;
      if (static_cast<int64_t>(shard.ready.size()) >= options.prefetch) continue;
      if (!chosen || shard.ready.size() < chosen->ready.size()) chosen = &shard;
    }
    return chosen;
  }

  void run(size_t thread, size_t count) {
    std::unique_lock lock(mutex);
    while (!stopping) {
      bool done = false;
      Shard* shard = neediest(thread, count, done);
      if (done) return;
      if (!shard) {
        has_room.wait(lock);
        continue;
      }
      lock.unlock();
      MicroBatch batch;
      std::exception_ptr error;
      try {
        batch = assembler.next(shard->stream, shard->plan);
      } catch (...) {
        error = std::current_exception();
      }
      const int64_t bytes = bytes_of(batch);
      lock.lock();
      shard->error = error;
      shard->ended = error || shard->stream.dry();
      shard->window_bytes = shard->stream.window_bytes();
      if (!error && !batch.ended()) {
        shard->ready.push_back({std::move(batch), shard->stream.position(), bytes});
        queued_bytes += bytes;
      }
      has_batch.notify_all();
    }
  }

  Batch next() {
    if (threads.empty() && !shards.empty()) start();
    Batch result;
    std::unique_lock lock(mutex);
    for (auto& shard : shards) {
      if (shard->ready.empty() && !shard->ended) {
        const Stopwatch watch;
        has_batch.wait(lock, [&] { return !shard->ready.empty() || shard->ended; });
        wait_ms += watch.ms();
      }
      if (!shard->ready.empty()) {
        Ready ready = std::move(shard->ready.front());
        shard->ready.pop_front();
        queued_bytes -= ready.bytes;
        shard->start = ready.next;
        result.micro.push_back(std::move(ready.batch));
      } else if (shard->error) {
        std::rethrow_exception(shard->error);
      } else {
        result.micro.push_back(assembler.empty(shard->start.shard));
      }
      result.next.push_back(shard->start);
    }
    has_room.notify_all();
    return result;
  }
};

BatchReader::BatchReader(const Dataset& dataset, ReaderOptions options)
    : impl_(std::make_unique<Impl>(dataset, std::move(options))) {}
BatchReader::~BatchReader() = default;

void BatchReader::seek(const std::vector<ShardPosition>& positions) {
  LIME_CHECK(impl_->threads.empty(), "seek() after next()");
  for (auto& shard : impl_->shards) {
    const auto found = std::find_if(positions.begin(), positions.end(), [&](const auto& position) {
      return position.shard == shard->start.shard;
    });
    LIME_CHECK(found != positions.end(), "no position for shard ", shard->start.shard);
    shard->stream.seek(*found);
    shard->start = shard->stream.position();
  }
}

Batch BatchReader::next() { return impl_->next(); }

double BatchReader::take_wait_ms() {
  std::lock_guard lock(impl_->mutex);
  return std::exchange(impl_->wait_ms, 0.0);
}

int64_t BatchReader::requests_in_epoch() const {
  int64_t requests = 0;
  for (const auto& day : impl_->options.days) requests += impl_->dataset.day(day).requests;
  return requests;
}

int64_t BatchReader::batches_in_epoch() const { return batches_of(impl_->dataset, impl_->options); }

int64_t BatchReader::resident_bytes() const {
  std::lock_guard lock(impl_->mutex);
  int64_t bytes = impl_->items.bytes() + impl_->cache.bytes() + impl_->queued_bytes;
  for (const auto& shard : impl_->shards) bytes += shard->window_bytes;
  return bytes;
}

}  // namespace lime
