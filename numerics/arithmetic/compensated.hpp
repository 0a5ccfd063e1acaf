// A sum in f64 that carries what each addition loses (Neumaier's variant of Kahan summation).
// Error of the result: below 2^-52 relative plus n^2 * 2^-105 of the sum of magnitudes.
#pragma once

#include <cmath>

namespace karat::numerics {

class CompensatedSum {
 public:
  void add(double x) {
    const double sum = sum_ + x;
    lost_ += std::fabs(sum_) >= std::fabs(x) ? (sum_ - sum) + x : (x - sum) + sum_;
    sum_ = sum;
  }
  double value() const { return sum_ + lost_; }

 private:
  double sum_ = 0;
  double lost_ = 0;
};

}  // namespace karat::numerics
