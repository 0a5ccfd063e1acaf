// CUDA's log2f against double arithmetic, and where it has no number to give. That it is the
// compiled one, bit for bit, tests/kernels/triton_test.cpp says: its PTX holds the instructions.
#include "karat/numerics/functions/libdevice.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace karat::numerics {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

/// In units of the last place of the exact result.
double error(float x) {
  const double exact = std::log2(static_cast<double>(x));
  const auto nearest = static_cast<float>(exact);
  const double ulp =
      std::fabs(std::nextafter(nearest, nearest > 0 ? kInf : -kInf) - static_cast<double>(nearest));
  return std::fabs(libdevice_log2f(x) - exact) / ulp;
}

TEST(Libdevice, Log2fIsWithinOneUnitOfItsLastPlace) {
  double largest = 0;
  for (int exponent = -149; exponent < 128; ++exponent)
    for (int step = 0; step < 400; ++step) {
      const float x = std::ldexp(1 + static_cast<float>(step) / 400, exponent);
      if (x != 1) largest = std::max(largest, error(x));
    }
  EXPECT_LT(largest, 1.0);
  EXPECT_GT(largest, 0.5);  // not correctly rounded
}

TEST(Libdevice, Log2fOfPowersAndOfWhatHasNone) {
  for (int exponent = -149; exponent < 128; ++exponent)
    EXPECT_EQ(libdevice_log2f(std::ldexp(1.0f, exponent)), static_cast<float>(exponent));
  EXPECT_EQ(libdevice_log2f(0.0f), -kInf);
  EXPECT_EQ(libdevice_log2f(-0.0f), -kInf);
  EXPECT_EQ(libdevice_log2f(kInf), kInf);
  for (const float x : {-1.0f, -1e-40f, -kInf, std::numeric_limits<float>::quiet_NaN()})
    EXPECT_TRUE(std::isnan(libdevice_log2f(x))) << x;
}

}  // namespace
}  // namespace karat::numerics
