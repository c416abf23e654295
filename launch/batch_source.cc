#include "launch/batch_source.h"

#include <algorithm>
#include <cmath>
#include <span>
#include <utility>

#include "parallel/tree_sum.h"

namespace lime {
namespace {

// One leaf's numbers in the exchange: requests, tokens, candidates, truncated, requests left out, then weight
// and label sums by task.
constexpr size_t leaf_counts = 5;
// One rank's, before its leaves: asked to stop, milliseconds waited for its reader, milliseconds worked.
constexpr size_t rank_counts = 3;

}  // namespace

RankPlace place_of(const Config& config, const ProcessGroup& group) {
  const auto parts = static_cast<int>(config.train.context_parallel);
  const int ranks = group.size() / parts;
  return {ranks, group.rank() % ranks, parts, group.rank() / ranks};
}

ReaderOptions reader_options(const Communicator& comm, const Config& config, std::vector<std::string> days) {
  ReaderOptions options;
  options.days = std::move(days);
  options.spec = config.features;
  options.virtual_shards = config.train.micro_batches;
  options.history_tokens = config.train.batch_history_tokens / options.virtual_shards;
  options.max_history = config.data.max_history;
  options.shuffle_window = config.data.shuffle_window;
  options.seed = config.seed;
  options.rank = comm.rank();
  options.ranks = comm.size();
  options.prefetch = config.data.prefetch;
  options.threads = static_cast<int>(config.data.threads);
  options.cache_bytes = config.data.cache_mb << 20;
  return options;
}

std::vector<double> base_logits(const GlobalBatch& batch) {
  std::vector<double> logits;
  for (size_t t = 0; t < batch.task_weight_sum.size(); ++t) {
    const double weight = batch.task_weight_sum[t], positive = batch.task_label_sum[t];
    const double half = weight / static_cast<double>(batch.candidates) / 2;  // of a candidate
    logits.push_back(weight > 0 ? std::log((positive + half) / (weight - positive + half)) : 0.0);
  }
  return logits;
}

BatchSource::BatchSource(ProcessGroup& group, const Dataset& dataset, const Config& config, int64_t epoch,
                         const std::vector<ShardPosition>& positions, std::shared_ptr<const ItemTable> items)
    : group_(group), dataset_(dataset), config_(config), epoch_(epoch), items_(std::move(items)) {
  open_epoch(positions);
}

BatchSource::~BatchSource() = default;

void BatchSource::open_epoch(const std::vector<ShardPosition>& positions) {
  reader_.reset();  // let go of its memory before the next one takes its own
  const int64_t shards = config_.train.micro_batches;
  ReaderOptions options =
      reader_options(group_.world(), config_, dataset_.select_days(config_.data.train, "data.train"));
  const RankPlace place = place_of(config_, group_);
  options.rank = place.rank, options.ranks = place.ranks;
  options.history_part = place.part, options.history_parts = place.parts;
  options.requests = std::max<int64_t>(1, config_.train.batch_requests / shards);
  options.keep_negatives = config_.data.keep_negatives;
  options.shuffle = config_.data.shuffle;
  options.epoch = epoch_;
  options.items = items_;
  if (options.history_tokens > 0) {
    if (!histories_) measure(options);
    options.histories = histories_;
    options.batches = batches_;
  }
  reader_ = std::make_unique<BatchReader>(dataset_, options);
  if (!positions.empty()) reader_->seek(positions);
}

void BatchSource::measure(const ReaderOptions& options) {
  histories_ = measure_histories(dataset_, options);
  const int64_t mine = batches_needed(*histories_, options);
  for (const int64_t batches : all_gather_values(group_.world(), std::span<const int64_t>(&mine, 1)))
    batches_ = std::max(batches_, batches);
}

int64_t BatchSource::batches_in_epoch() const { return reader_->batches_in_epoch(); }

std::vector<double> BatchSource::describe(const Batch& batch, bool stop, double wait_ms,
                                          double work_ms) const {
  const size_t tasks = config_.tasks.size();
  const size_t leaf_size = leaf_counts + 2 * tasks;
  // Every rank sends as many leaves as the fullest one has, so that the gather is of equal parts.
  const RankPlace place = place_of(config_, group_);
  const auto most = static_cast<size_t>((config_.train.micro_batches + place.ranks - 1) / place.ranks);
  std::vector<double> out(rank_counts + most * leaf_size, 0.0);
  out[0] = stop ? 1 : 0;
  out[1] = wait_ms;
  out[2] = work_ms;
  for (size_t m = 0; m < batch.micro.size(); ++m) {
    const MicroBatch& micro = batch.micro[m];
    double* leaf = out.data() + rank_counts + m * leaf_size;
    if (micro.ended()) continue;
    if (place.part == 0) {  // what all parts have alike
      leaf[0] = static_cast<double>(micro.requests());
      leaf[3] = static_cast<double>(micro.truncated);
      leaf[4] = static_cast<double>(micro.left_out);
    }
    leaf[1] = static_cast<double>(micro.history_offsets.back());
    leaf[2] = static_cast<double>(micro.candidate_offsets.back());
    for (size_t i = 0; i < micro.labels.size(); ++i) {
      leaf[leaf_counts + i % tasks] += micro.weights[i];
      leaf[leaf_counts + tasks + i % tasks] += double{micro.weights[i]} * micro.labels[i];
    }
  }
  return out;
}

std::optional<GlobalBatch> BatchSource::next(bool stop, double work_ms) {
  const size_t tasks = config_.tasks.size();
  const size_t leaf_size = leaf_counts + 2 * tasks;
  std::vector<RankTurn> turns(static_cast<size_t>(group_.size()));
  while (epoch_ < config_.train.epochs) {
    GlobalBatch batch;
    batch.local = reader_->next();
    batch.epoch = epoch_;
    const std::vector<double> mine =
        describe(batch.local, stop, reader_->take_wait_ms(), std::exchange(work_ms, 0));
    const std::vector<double> all = all_gather_values(group_.world(), mine);

    std::vector<double> sum(leaf_size, 0.0);
    for (int rank = 0; rank < group_.size(); ++rank) {
      const double* row = all.data() + static_cast<size_t>(rank) * mine.size();
      batch.stop |= row[0] != 0;
      batch.data_wait_ms = std::max(batch.data_wait_ms, row[1]);
      RankTurn& turn = turns[static_cast<size_t>(rank)];
      turn.read_ms += row[1];
      turn.work_ms += row[2];
      const auto [first, last] = leaves_of(config_.train.leaves(), rank, group_.size());
      for (int64_t leaf = 0; leaf < last - first; ++leaf)
        for (size_t i = 0; i < leaf_size; ++i) {
          const double value = row[rank_counts + static_cast<size_t>(leaf) * leaf_size + i];
          sum[i] += value;
          if (i == 1 || i == 2) turn.rows += value;
        }
    }
    batch.requests = static_cast<int64_t>(sum[0]);
    batch.history_tokens = static_cast<int64_t>(sum[1]);
    batch.candidates = static_cast<int64_t>(sum[2]);
    batch.truncated = static_cast<int64_t>(sum[3]);
    batch.task_weight_sum.assign(sum.begin() + leaf_counts,
                                 sum.begin() + static_cast<long>(leaf_counts + tasks));
    batch.task_label_sum.assign(sum.begin() + static_cast<long>(leaf_counts + tasks), sum.end());
    if (batch.requests > 0) {
      batch.ranks = std::move(turns);
      return batch;
    }
    if (sum[4] > 0) continue;  // negative sampling left nothing of this batch

    if (++epoch_ < config_.train.epochs) open_epoch({});
  }
  return std::nullopt;
}

}  // namespace lime
