// BatchSource: the global batches of a run, epoch after epoch, agreed on by all ranks.
//
// Each rank reads its own virtual shards; what has to be known of the whole batch (is there any data, how
// much weight has each task) is gathered once a batch and summed over the leaves in order, so that it is the
// same on every rank and for every number of ranks.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/reader.h"
#include "model/config.h"
#include "parallel/process_group.h"

namespace lime {

// What one rank did since it last said so.
struct RankTurn {
  double work_ms = 0;  // computing, without waits for other ranks
  double read_ms = 0;  // waiting for its own reader
  double rows = 0;     // history tokens and candidates of its part of the batch
};

struct GlobalBatch {
  Batch local;  // this rank's micro-batches
  int64_t epoch = 0;
  int64_t requests = 0, history_tokens = 0, candidates = 0, truncated = 0;  // of all ranks
  std::vector<double> task_weight_sum;  // sum over candidates of task weight x sample weight, by task
  std::vector<double> task_label_sum;   // the same, times label
  bool stop = false;                    // some rank was asked to stop
  double data_wait_ms = 0;              // of the slowest rank
  std::vector<RankTurn> ranks;          // by rank
};

// The log-odds of each task's labels in a batch, by their weights: as if it had one candidate more, half of
// it positive, so that they are finite. 0 of a task without weight.
std::vector<double> base_logits(const GlobalBatch&);

class BatchSource {
 public:
  // Starts at `epoch`, at `positions` within it (empty: its beginning).
  // `items`: of items_of_host; null: each epoch's reader reads its own.
  BatchSource(ProcessGroup&, const Dataset&, const Config&, int64_t epoch,
              const std::vector<ShardPosition>& positions, std::shared_ptr<const ItemTable> items = nullptr);
  ~BatchSource();

  // Collective. The next batch with data on any rank; none after the last epoch. `stop`: this rank was asked
  // to stop. `work_ms`: what it worked since the call before, for the others to know.
  std::optional<GlobalBatch> next(bool stop, double work_ms = 0);

  int64_t batches_in_epoch() const;  // with a token budget as planned: it may be one more or less

 private:
  void open_epoch(const std::vector<ShardPosition>&);
  // Collective. What a token budget's batches are planned by, the same for each epoch.
  void measure(const ReaderOptions&);
  // This rank's row of the exchange, its leaves in order.
  std::vector<double> describe(const Batch&, bool stop, double wait_ms, double work_ms) const;

  ProcessGroup& group_;
  const Dataset& dataset_;
  const Config& config_;
  int64_t epoch_;
  const std::shared_ptr<const ItemTable> items_;
  // With a token budget: of this rank's shards, and of an epoch.
  std::shared_ptr<const HistoryLoads> histories_;
  int64_t batches_ = 0;
  std::unique_ptr<BatchReader> reader_;
};

// Where this rank stands in training. Its micro-batches are those of rank `rank` of `ranks`, and of their
// histories and candidates it has part `part` of `parts` (train.context_parallel), a divisor of the group's
// size.
struct RankPlace {
  int ranks, rank, parts, part;
};
RankPlace place_of(const Config&, const ProcessGroup&);

// Reader options that training and evaluation share: all but requests a micro-batch, order and histories.
ReaderOptions reader_options(const Communicator&, const Config&, std::vector<std::string> days);

}  // namespace lime
