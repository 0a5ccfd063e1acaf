// A table for few degrees of freedom, a series beyond.
#include "karat/statistics/student.hpp"

#include <array>

namespace karat::statistics {

double student_t95(int degrees) {
  // Quantiles 0.975 of Student's t for 1 to 30 degrees; beyond, the Cornish-Fisher expansion.
  constexpr std::array kTable{12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306,
                              2.262,  2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
                              2.110,  2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064,
                              2.060,  2.056, 2.052, 2.048, 2.045, 2.042};
  if (degrees <= std::ssize(kTable)) return kTable[degrees - 1];
  constexpr double z = 1.959964;
  constexpr double z3 = z * z * z, z5 = z3 * z * z;
  const double n = degrees;
  return z + (z3 + z) / (4 * n) + (5 * z5 + 16 * z3 + 3 * z) / (96 * n * n);
}

}  // namespace karat::statistics
