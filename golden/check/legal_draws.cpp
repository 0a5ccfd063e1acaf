// Implementation of legal_draws.hpp.
#include "legal_draws.hpp"

#include <algorithm>
#include <cmath>

namespace karat::golden {

void LegalDraws::add(std::size_t kernel, double x) {
  Moments& moments = kernels_[kernel];
  ++moments.count;
  moments.sum += x;
  moments.squares += x * x;
  largest_ = std::max(largest_, x);
}

double LegalDraws::limit(double n, double tests) const {
  double mean = 0, variance = 0;
  for (const Moments& kernel : kernels_) {
    if (kernel.count == 0) continue;
    const double average = kernel.sum / kernel.count;
    mean = std::max(mean, average);
    variance = std::max(variance, kernel.squares / kernel.count - average * average);
  }
  const double length = std::log(tests / kFalseAlarm);
  return kReserve * kReserve *
         (mean + std::sqrt(2 * variance * length / n) + largest_ * length / (3 * n));
}

}  // namespace karat::golden
