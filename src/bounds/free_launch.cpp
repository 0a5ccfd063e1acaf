// From scores to intervals of alpha and P, in the recipe's own roundings.
#include "free_launch.hpp"

#include <algorithm>
#include <limits>

#include "karat/attention/operations/probability.hpp"
#include "karat/attention/operations/score.hpp"
#include "karat/numerics/functions/exp2.hpp"

namespace karat::bounds {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
/// Below this a kernel may flush a result or not; 2^-125 is above everything so small.
constexpr float kTiny = 0x1p-125f;

/// What a kernel may return for 2^x when `golden` is the recipe's own value. It lies within the
/// freedom that the correctly rounded value has.
Interval legal_exp2(float x, float rounded, float golden, const Freedom& freedom) {
  if (x == 0 || x == -kInf || freedom.low == freedom.high) return golden;
  const Interval around{rounded * freedom.low, rounded * freedom.high};
  if (rounded < kTiny) return {0.0f, std::max(around.high, kTiny)};
  return around;
}

/// P's cast and the row sum's terms, at one end.
void cast_end(const Kernel& kernel, std::vector<float>& terms, std::vector<float>& values) {
  values.resize(terms.size());
  for (std::size_t n = 0; n < terms.size(); ++n)
    values[n] = attention::cast_operand(kernel, terms[n]);
  attention::cast_p(kernel, values, numerics::Path::fast);
  for (std::size_t n = 0; n < terms.size(); ++n)
    terms[n] = attention::row_sum_term(kernel, terms[n], values[n]);
}

}  // namespace

FreeLaunch::FreeLaunch(const recipe::Recipe& recipe, const layout::Layout& layout,
                       const attention::QuantisedHead& head, Freedom allowed)
    : launch(recipe, layout, head), freedom(allowed), f(launch.pair_factor(0, 0)) {}

Interval FreeLaunch::alpha(float before, float after) const {
  const float x = attention::alpha_exponent(launch, before, after, f);
  return legal_exp2(x, numerics::exp2_rounded(x, launch.recipe.subnormals),
                    attention::power<float>(launch, x), freedom);
}

void FreeLaunch::p(std::span<const float> s, float m, RowP& p) const {
  p.low.resize(s.size());
  p.high.resize(s.size());
  std::vector<float> x(s.size());
  attention::p_exponents(launch, s, m, f, x);
  numerics::exp2_rounded(x, p.low, launch.recipe.subnormals);
  attention::powers(launch, x, p.high);
  for (std::size_t n = 0; n < x.size(); ++n) {
    const Interval legal = legal_exp2(x[n], p.low[n], p.high[n], freedom);
    p.low[n] = legal.low;
    p.high[n] = legal.high;
  }
  cast_end(launch, p.low, p.cast_low);
  cast_end(launch, p.high, p.cast_high);
}

}  // namespace karat::bounds
