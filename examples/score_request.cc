// Ranks all cached items for one made-up request:
//   score_request RUN CACHE [DATA]
// RUN is of configs/quickstart.yaml (another one has other features), CACHE was made by lime cache build, and
// DATA is the dataset's directory if it is not where the run was trained.
#include <cstdio>
#include <exception>
#include <span>
#include <vector>

#include "serving/scorer.h"

int main(int argc, char** argv) try {
  if (argc < 3) return std::fprintf(stderr, "usage: score_request RUN CACHE [DATA]\n"), 2;
  using Group = lime::ScoringRequest::Group;
  const lime::Scorer scorer({.run = argv[1], .data = argc > 3 ? argv[3] : "", .cache = argv[2]});
  const std::span<const int64_t> items = scorer.cached_items();

  // Three events, oldest first; the user's segment, and 18 o'clock.
  lime::ScoringRequest request = scorer.make_request();
  const int64_t now = 1'704'391'200'000;
  request.set_ids(Group::history, "item", items.first(3));
  request.set_ids(Group::history, "topic", std::vector<int64_t>{4, 7, 4});
  request.set_ids(Group::history, "action", std::vector<int64_t>{1, 0, 1});
  request.set_ages(now, std::vector<int64_t>{now - 86'400'000, now - 3'600'000, now - 60'000});
  request.set_ids(Group::user, "segment", std::vector<int64_t>{2});
  request.set_ids(Group::user, "hour", std::vector<int64_t>{18});
  // Numbers (set_reals) are given as the dataset stores them: std::log1p(x) where the mapping says log1p.

  const lime::Ranking best = scorer.top(request, items, 5);
  std::printf("%s of %s, %zu items, %zu from the cache\n", scorer.model().c_str(),
              scorer.checkpoint().c_str(), items.size(), static_cast<size_t>(best.counts.cached));
  for (const lime::RankedItem& one : best.items)
    std::printf("item %lld  %s logit %.4f\n", static_cast<long long>(one.item), scorer.tasks()[0].c_str(),
                one.logit);
  return 0;
} catch (const std::exception& error) {
  return std::fprintf(stderr, "score_request: %s\n", error.what()), 2;
}
