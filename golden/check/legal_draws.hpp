// How far legal kernels lie from the golden one, and what a candidate's mean over some rows may be.
#pragma once

#include <array>
#include <cstdint>
#include <iterator>

#include "karat/bounds/legal_kernels.hpp"

namespace karat::golden {

/// Squared relative deviations x of several legal kernels from the golden one, row by row or value
/// by value, and the mean that n independent ones of a further legal kernel stay below.
class LegalDraws {
 public:
  static constexpr std::size_t kKernels = std::size(bounds::kLegalKernels);
  /// A legal kernel's deviation may be this many times what the kernels that were run show: they
  /// are not all there are.
  static constexpr double kReserve = 2;
  /// A legal candidate is doubted with this probability at most in each of the tests.
  static constexpr double kFalseAlarm = 1e-6;

  /// @param least  counts as seen: a value that moves by one unit in its last place
  explicit LegalDraws(double least) : largest_(least) {}
  void add(std::size_t kernel, double x);
  /// Bernstein's inequality with the kernel whose mean and variance are largest:
  /// kReserve^2 * (mean + sqrt(2 variance L / n) + largest L / (3 n)), L = ln(tests / kFalseAlarm).
  double limit(double n, double tests) const;

 private:
  struct Moments {
    double count = 0, sum = 0, squares = 0;
  };
  std::array<Moments, kKernels> kernels_{};
  double largest_;
};

}  // namespace karat::golden
