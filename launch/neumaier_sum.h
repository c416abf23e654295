// Neumaier's compensated sum (1974): the error does not grow with the number of terms.
#pragma once

#include <cmath>

namespace lime {

class NeumaierSum {
 public:
  void add(double x) {
    const double t = sum_ + x;
    correction_ += std::abs(sum_) >= std::abs(x) ? (sum_ - t) + x : (x - t) + sum_;
    sum_ = t;
  }
  // An infinite term makes the correction NaN; the sum itself still says what it is.
  double value() const { return std::isfinite(sum_) ? sum_ + correction_ : sum_; }

 private:
  double sum_ = 0, correction_ = 0;
};

}  // namespace lime
