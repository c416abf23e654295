#include "io/generate_truth.h"

#include "runtime/error.h"

namespace lime {

ExpectedAuc::ExpectedAuc()
    : positives_(static_cast<size_t>(probability_unit) + 1),
      negatives_(static_cast<size_t>(probability_unit) + 1) {}

void ExpectedAuc::add(int64_t score, int64_t probability) {
  LIME_CHECK(score >= 0 && score <= probability_unit && probability >= 0 && probability <= probability_unit);
  positives_[static_cast<size_t>(score)] += probability;
  negatives_[static_cast<size_t>(score)] += probability_unit - probability;
  own_ += static_cast<double>(probability) * static_cast<double>(probability_unit - probability);
}

void ExpectedAuc::merge(const ExpectedAuc& other) {
  for (size_t s = 0; s < positives_.size(); ++s) {
    positives_[s] += other.positives_[s];
    negatives_[s] += other.negatives_[s];
  }
  own_ += other.own_;
}

double ExpectedAuc::value() const {
  double below = 0, positives = 0, ordered = 0;
  for (size_t s = 0; s < positives_.size(); ++s) {
    const auto positive = static_cast<double>(positives_[s]), negative = static_cast<double>(negatives_[s]);
    ordered += positive * (below + negative / 2);
    below += negative;
    positives += positive;
  }
  const double pairs = positives * below - own_;
  return pairs > 0 ? (ordered - own_ / 2) / pairs : 0.5;
}

}  // namespace lime
