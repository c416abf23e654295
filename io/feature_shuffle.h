// FeatureShuffle: some features of a micro-batch become those of other rows of it. What a model's scores lose
// by that is what the features are worth to it: permutation importance (Breiman, "Random forests", 2001,
// section 10).
//
// Each row has another one's values, so that they are distributed as they were, and say nothing about the
// row: of a request those of another request, of a candidate those of another candidate (of any request), of
// an event those of another event (of any history). All features of histories together are whole histories:
// each request has another one's. The order is drawn by (seed, the micro-batch's first request): the same for
// any number of ranks. In a micro-batch of few requests some rows keep their own.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "io/batch.h"
#include "io/reader.h"

namespace lime {

enum class FeatureSide : uint8_t { history, candidate, user };  // of BatchSpec
inline constexpr std::array feature_sides = {FeatureSide::history, FeatureSide::candidate, FeatureSide::user};
const char* to_string(FeatureSide);
const std::vector<ResolvedFeature>& features_of(const ResolvedSpec&, FeatureSide);

class FeatureShuffle {
 public:
  // `features`: names of that side, all of which get the same order; empty: all of the side. Throws UserError
  // for a name that the side does not have, with the nearest.
  FeatureShuffle(const ResolvedSpec&, FeatureSide, const std::vector<std::string>& features, uint64_t seed);

  // Whole micro-batches only (ReaderOptions::history_parts is 1).
  void apply(MicroBatch&) const;

 private:
  FeatureSide side_;
  uint64_t seed_;
  bool whole_;                       // all features of the side
  std::vector<size_t> ids_, reals_;  // columns of ids, and of `real`, that are shuffled
  int64_t real_width_;
};

}  // namespace lime
