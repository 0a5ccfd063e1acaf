// Legal values of exp2 and of P after its cast.
#pragma once

#include <span>
#include <vector>

#include "fp32.hpp"
#include "karat/attention/attend.hpp"
#include "karat/bounds/bounds.hpp"

namespace karat::bounds {

/// What a kernel may return for 2^x when `rounded` is the correctly rounded value.
Interval legal_exp2(float x, float rounded, const Freedom& freedom);

/// Exponents of one query block: what exp2 is asked for, row by row, from the taps s and m.
class Exponents {
 public:
  Exponents(const recipe::Recipe& recipe, const layout::Layout& layout,
            const attention::QuantisedHead& head);

  /// Argument of alpha when the maximum goes from `before` to `after`; 0 where alpha is exactly 1.
  float of_alpha(float before, float after) const;
  /// Arguments of P for one row's scores under maximum m.
  void of_p(std::span<const float> s, float m, std::span<float> x) const;
  float initial_max() const { return initial_max_; }
  /// A score or maximum of the taps in log2 units.
  float in_log2(float score) const;

 private:
  const recipe::Recipe& recipe_;
  Fp32 fp_;
  float initial_max_;
  float fused_factor_;  ///< what the fused multiply-add multiplies by
};

/// P of one row and block: before the cast (the row sum's terms) and after.
struct RowP {
  std::vector<float> low, high;            ///< terms of the row sum
  std::vector<float> cast_low, cast_high;  ///< as the PV instruction reads them
};
void legal_p(const recipe::Recipe& recipe, const Freedom& freedom, std::span<const float> x,
             RowP& p);

}  // namespace karat::bounds
