// One pass over days that scores every request, with the histories that are asked for: what evaluation and
// prediction share.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "io/feature_shuffle.h"
#include "io/reader.h"
#include "launch/stop_signal.h"
#include "model/config.h"
#include "model/network.h"
#include "parallel/communicator.h"

namespace lime {

// A model over its ranks, and the data that it scores.
struct Scoring {
  Communicator& comm;
  Context& ctx;
  Network& network;
  const Config& config;
  const Dataset& dataset;
  std::shared_ptr<const ItemTable> items = nullptr;  // of items_of_host; null: every reader has its own
  const StopSignal* signal = nullptr;  // gives a pass up between two batches, with Interrupted on all ranks
  const std::vector<FeatureShuffle>* shuffles = nullptr;  // applied to what is scored, one after the other
};

const char* to_string(HistoryMode);
// config.eval.history: one mode by name, or "both": running, then frozen. Throws UserError.
std::vector<HistoryMode> history_modes(const std::string& text);

// Of a pass that scores: days in order, in batches of the size that config.eval has for them.
ReaderOptions scoring_options(const Communicator&, const Config&, std::vector<std::string> days, HistoryMode);

// Requests scored so far and in all, over all ranks; called on every rank after each global batch.
using ScoringProgress = std::function<void(int64_t done, int64_t total)>;

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
// all; so is Interrupted, where scoring.signal came to any of them.
ScoringTotals score_days(const Scoring&, const std::vector<std::string>& days, HistoryMode,
                         const ScoredVisitor&, const ScoringProgress&, const BetweenBatches& = {});

}  // namespace lime
