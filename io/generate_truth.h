// The AUC that a score can expect when the true probabilities of the labels are known.
#pragma once

#include <cstdint>
#include <vector>

namespace lime {

// Probabilities and scores are whole multiples of 2^-16, so that sums by score are exact and memory does not
// grow.
constexpr int64_t probability_unit = int64_t{1} << 16;

// Over independent labels with P(y_i = 1) = p_i and scores s_i:
//   sum over i != j of p_i (1 - p_j) ([s_i > s_j] + [s_i = s_j] / 2)  /  sum over i != j of p_i (1 - p_j)
// the ratio of the expected numbers of rightly ordered pairs and of pairs.
class ExpectedAuc {
 public:
  ExpectedAuc();
  // Both in 0 .. probability_unit.
  void add(int64_t score, int64_t probability);
  void merge(const ExpectedAuc&);
  double value() const;  // 0.5 where no pair can be expected

 private:
  std::vector<int64_t> positives_, negatives_;  // by score, in units
  double own_ = 0;  // sum of p (1 - p) in units squared: pairs of a candidate with itself
};

}  // namespace lime
