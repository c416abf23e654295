// What features are worth to a trained model: how much worse it ranks held-out days when they are those of
// another row (io/feature_shuffle.h). The model is not trained again, so that this says what the model makes
// of a feature, not what another model could do without it: features that say the same cover for each other.
//
// Losses are those of the same rows as they are, with intervals over users: the same draws of the bootstrap
// for all (launch/compare/bootstrap.h). Results are the same bits for any number of ranks.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "io/feature_shuffle.h"
#include "launch/compare/bootstrap.h"
#include "launch/scoring.h"

namespace lime {

// Features that are shuffled at a time.
struct ShuffledSet {
  std::string name;         // "history", "user.tab", "candidate.item+history.item"
  bool whole_side = false;  // all features of a side
  std::vector<FeatureShuffle> shuffles;
};

// Sets as users write them: sides ("history": all of its features) and features ("user.tab"), joined by "+"
// where they are shuffled together. No names: each side, then each feature; histories are left out where none
// are read. Throws UserError for a side or feature that the model does not read, with the nearest.
std::vector<ShuffledSet> shuffled_sets(const Config&, const DatasetSchema&,
                                       const std::vector<std::string>& names, uint64_t seed);

struct FeatureWorth {
  std::string name;
  bool whole_side = false;
  std::array<Estimate, metric_names.size()> loss;  // by kind: how much worse, below 0: better
  const Estimate& of(MetricKind kind) const { return loss[static_cast<size_t>(kind)]; }
};

struct TaskImportance {
  std::string task;
  Metrics whole;  // nothing shuffled
  int64_t users = 0;
  std::vector<FeatureWorth> sets;  // whole sides first, then by what they are worth in AUC
};

struct ImportanceResult {
  std::string run, history;
  std::vector<std::string> days;
  int64_t resamples = 0;
  uint64_t seed = 0;
  bool with_watch_time = false;
  std::vector<TaskImportance> tasks;
};

struct ImportanceOptions {
  int64_t resamples = 200;  // of users; 0: no intervals
  uint64_t seed = 1;        // of the shuffles and of the bootstrap
  int threads = 1;          // of the bootstrap
  // The pass that begins, of how many: the rows as they are, then each set. On every rank.
  std::function<ScoringProgress(const std::string& name, size_t number, size_t passes)> begin;
  // The pass that ended, on rank 0: of the first task, AUC and its loss (NaN for the rows as they are).
  std::function<void(const std::string& name, size_t number, size_t passes, double auc, double loss)> end;
};

// Collective: one pass over the days for the rows as they are, and one for each set. Complete on rank 0,
// empty elsewhere. Throws as evaluate() does, and UserError where scores are not numbers.
ImportanceResult measure_importance(const Scoring&, const std::vector<std::string>& days, HistoryMode,
                                    const std::vector<ShuffledSet>&, const ImportanceOptions&);

}  // namespace lime
