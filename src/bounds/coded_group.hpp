// Codes and values of a group whose scale follows from a largest magnitude that lies in a range.
#pragma once

#include <span>
#include <vector>

#include "free_launch.hpp"
#include "karat/numerics/arithmetic/flush.hpp"
#include "karat/quant/quantise.hpp"

namespace karat::bounds {

/// A code grows with x and, in magnitude, falls with the scale: the ends of both give its ends, and
/// those times the ends of the scale lie around every legal value. Where the largest magnitude and
/// x are points these are quant::quantise()'s own values.
class CodedGroup {
 public:
  /// @param amax  of the group, finite
  CodedGroup(const quant::Rule& rule, Interval amax);

  /// What codes of any x decode to. x is finite.
  /// @param random  of stochastic rounding
  Interval code(Interval x, std::uint32_t random = 0) const;
  /// code*scale / unit, outward.
  Interval value(Interval x, float unit, std::uint32_t random = 0) const;
  /// fl(code*scale) in BF16.
  Interval dequantised(Interval x, std::uint32_t random = 0) const;
  Interval scale() const;

  // The same of many x, none of which is negative, in two halves: what formats round, by arrays.
  // Only of groups that have simple_ends().
  bool simple_ends() const { return cases_.size() == 1; }
  /// Ends of x become what codes round.
  void operands(std::span<float> low, std::span<float> high) const;
  /// What codes decode to becomes what dequantised() rounds to BF16.
  void products(std::span<float> low, std::span<float> high) const;

 private:
  /// Groups of tiny values have scale 1, which is no end of an interval: each case stands alone.
  struct Case {
    Interval scale;
    quant::CodeStep fine, coarse;  ///< under the least and the largest scale
  };
  Interval code(const Case& of, Interval x, std::uint32_t random) const;
  static float operand(float x, quant::CodeStep step) {
    return numerics::flush_subnormal(step.divide ? x / step.operand : x * step.operand);
  }
  float coded(float x, quant::CodeStep step, std::uint32_t random) const;

  quant::Rule rule_;
  std::vector<Case> cases_;  ///< one or two
};

}  // namespace karat::bounds
