// lime score: a scorer run over the requests of some days, each with its own impressions and K further
// candidates.
#pragma once

#include <cstdint>
#include <string>

#include "launch/latency.h"
#include "launch/scoring.h"
#include "serving/scorer.h"

namespace lime {

struct ScoreRequestsOptions {
  ScorerOptions scorer;
  std::string days;
  HistoryMode history = HistoryMode::running;
  int64_t candidates = 1000;  // beyond the request's own impressions
  int64_t top = 10;           // of them written; 0: all
  std::string task;           // ranked by; "": the first
  std::string out;            // HDF5 file, or ""
  int threads = 1;
};

struct ScoreRequestsReport {
  int64_t requests = 0, candidates = 0, without_history = 0;
  ScoringCounts counts;
  double seconds = 0;  // in all, reading included
  Latency latency;     // of scoring; reading is left out
};

// The K further candidates are one sample, drawn without replacement from the cache's items (without a cache:
// from the items that would be cached) by the run's seed, the same for every request: so requests can be
// compared, and the same command gives the same file. A smaller number of items is taken whole. Requests are
// those of the reader in its unshuffled order. Throws UserError; what `progress` throws gives it up, and
// leaves no file.
ScoreRequestsReport score_requests(const ScoreRequestsOptions&, const ScoringProgress& = {});

}  // namespace lime
