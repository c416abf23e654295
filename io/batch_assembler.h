// BatchAssembler: requests of a stream to the columns of a micro-batch.
#pragma once

#include <vector>

#include "io/batch_plan.h"
#include "io/shard_stream.h"

namespace lime {

class BatchAssembler {
 public:
  // `frozen_ms`: with HistoryMode::frozen, histories end before this time. The arguments must outlive the
  // assembler.
  BatchAssembler(const ReaderOptions&, const ReadPlan&, const ItemTable&, int64_t frozen_ms);

  // An empty micro-batch with the plan's columns.
  MicroBatch empty(int64_t shard) const;
  // The next micro-batch of the stream, cut by its plan; ended() if it is dry. Moves the stream on.
  MicroBatch next(ShardStream&, const BatchPlan&) const;

 private:
  struct Range {
    int64_t begin, end;
  };
  struct Request {
    int64_t row, number;  // of the window; of the micro-batch
    int64_t begin, end;   // events, of those that the options take a part of
    Range whole;          // all events of the history
  };
  // The reader's part of a range of request `number`.
  Range part_of(Range, int64_t number) const;
  bool is_left_out(const RequestWindow&, int64_t row) const;
  Range candidates_of(const RequestWindow&, const Request&) const;
  Range history_of(const RequestWindow&, const EventsPart&, int64_t row) const;
  void append(const ShardStream&, const std::vector<Request>&, MicroBatch&) const;
  void append_history(const RequestWindow&, const EventsPart&, const std::vector<Request>&,
                      MicroBatch&) const;
  void append_candidates(const RequestWindow&, const std::vector<Request>&, MicroBatch&) const;
  void append_user(const RequestWindow&, const EventsPart&, const std::vector<Request>&, MicroBatch&) const;

  const ReaderOptions& options_;
  const ReadPlan& plan_;
  const ItemTable& items_;
  const int64_t frozen_ms_;
};

}  // namespace lime
