// Scorer: scores candidates of a request with a trained run, in one process, without MPI. docs/scoring.md.
//
//   lime::Scorer scorer({.run = "runs/first", .cache = "cache.h5"});
//   lime::ScoringRequest request = scorer.make_request();
//   request.set_ids(lime::ScoringRequest::Group::history, "item", {{17, 4, 23}});  ...
//   for (const lime::RankedItem& best : scorer.top(request, candidates, 10).items) ...
//
// With a cache, models with links (lime_mha, lime_xor) run the user side once a request, and a candidate
// costs a look-up and one small product. Without, and for items that it does not have, an item's row is
// computed when it is asked for. The other models score the whole request each time: the same interface, for
// comparison.
//
// Threads: all const methods may be called by any number of threads at once; each call computes on its own
// thread. Determinism: a candidate's logits are a function of the request, the weights and its row: not of
// other candidates (models with links), of threads or of earlier calls.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "serving/scoring_request.h"

namespace lime {

class ServedModel;

enum class MissingItems : uint8_t {
  score,  // items that are not in the cache are scored without it, and counted
  refuse  // ... are a UserError that names one
};

struct ScorerOptions {
  std::string run;         // run directory
  std::string checkpoint;  // name under RUN/checkpoints, "best" or "newest" (the newest good one); "": best
                           // where the run keeps it (train.best), else newest
  std::string data;        // the dataset's directory in place of the run's: its dataset.yaml is read
  std::string cache;       // of lime cache build; "": none
  MissingItems missing = MissingItems::score;
  std::string items;  // features of items that the cache lacks, as items.h5; "": the dataset's
};

struct ScoringCounts {
  int64_t cached = 0, uncached = 0;  // candidates
};

struct RankedItem {
  int64_t item = 0, position = 0;  // position among the candidates given
  float logit = 0;                 // of the task ranked by
};

struct Ranking {
  std::vector<RankedItem> items;  // best first; of equal logits, the candidate given first
  ScoringCounts counts;
};

// The positions of the k largest values of values[i * stride], i < n, best first: fewer where n < k. Ties by
// position.
std::vector<int64_t> best_positions(const float* values, int64_t n, int64_t stride, int64_t k);

class Scorer {
 public:
  // Throws UserError, in one line, where run, checkpoint, dataset or cache cannot be used: a cache of another
  // checkpoint is named with both, one of items that have other features in the dataset's items.h5 with that
  // (where it is read: not with `refuse`, nor in place of `items`), and weights that are not finite with
  // their parameter or id.
  explicit Scorer(const ScorerOptions&);
  ~Scorer();
  Scorer(Scorer&&) noexcept;
  Scorer& operator=(Scorer&&) noexcept;

  const std::string& checkpoint() const;          // "step-000000335"
  const std::string& model() const;               // "lime_xor"
  const std::vector<std::string>& tasks() const;  // labels, in the order of logits
  std::span<const int64_t> cached_items() const;  // ascending; none without a cache
  const ServedModel& served() const;
  ScoringRequest make_request() const;

  // logits: items x tasks, in the order of `items`; probability = 1 / (1 + exp(-logit)). No items: nothing is
  // computed. Throws UserError where the request does not fit the model, an item is missing and refused, or a
  // logit is not finite.
  ScoringCounts score(const ScoringRequest&, std::span<const int64_t> items, std::span<float> logits) const;
  // The k best by one task.
  Ranking top(const ScoringRequest&, std::span<const int64_t> items, int64_t k, int64_t task = 0) const;

  // Over all calls so far.
  ScoringCounts total_counts() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lime
