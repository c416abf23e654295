// One pass over days that scores every request: what evaluation and prediction share.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "launch/evaluator.h"

namespace lime {

// Called for this rank's micro-batches that are not empty, in order; logits: candidates x tasks in host
// memory, valid during the call.
using ScoredVisitor = std::function<void(const MicroBatch&, const ConstView& logits)>;

// Called on every rank before each global batch and after the last, when nothing is under way between ranks:
// where they may hand on what was scored.
using BetweenBatches = std::function<void()>;

struct ScoringTotals {  // over all ranks
  int64_t requests = 0, truncated = 0;
};

// Collective. Every rank scores its own virtual shards, and goes on with empty batches until all are dry. The
// ids of the next batch travel while this one is computed. What the reader throws on one rank is thrown on
// all.
ScoringTotals score_days(Communicator&, Context&, Network&, const Dataset&, const Config&,
                         const std::vector<std::string>& days, HistoryMode, const ScoredVisitor&,
                         const ScoringProgress&, const BetweenBatches& = {});

}  // namespace lime
