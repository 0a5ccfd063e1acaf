// From scores to intervals of alpha and P, in the recipe's own roundings.
#include "free_launch.hpp"

#include <algorithm>
#include <limits>

#include "grouped_p.hpp"
#include "karat/attention/operations/probability.hpp"
#include "karat/attention/operations/score.hpp"
#include "karat/numerics/functions/exp2.hpp"
#include "non_finite.hpp"

namespace karat::bounds {
namespace {

/// Below this a kernel may flush a result or not; 2^-125 is above everything so small.
constexpr float kTiny = 0x1p-125f;

/// What a kernel may return for 2^x when `golden` is the recipe's own value. It lies within the
/// freedom that the correctly rounded value has.
Interval legal_exp2(float x, float rounded, float golden, const Freedom& freedom) {
  if (x == 0 || x == -kInfinity || freedom.low == freedom.high) return golden;
  const Interval around{rounded * freedom.low, rounded * freedom.high};
  if (rounded < kTiny) return {0.0f, std::max(around.high, kTiny)};
  return around;
}

/// An exact 2^x has no f32 of its own: those around it, where ranges are asked for at all.
bool is_exact(const FreeLaunch& free) {
  return free.launch.recipe.softmax.exp2 == recipe::Exp2::exact && leaves_freedom(free.freedom);
}
Interval around_exact(const Kernel& kernel, float x) {
  const auto power = attention::power<double>(kernel, x);
  return {numerics::rounded_down(power), numerics::rounded_up(power)};
}

void make_operands(const FreeLaunch& free, const std::vector<float>& p,
                   std::vector<float>& operands) {
  operands.resize(p.size());
  if (is_exact(free)) {
    for (std::size_t n = 0; n < p.size(); ++n)
      operands[n] = attention::cast_operand(free.launch, static_cast<double>(p[n]));
  } else {
    for (std::size_t n = 0; n < p.size(); ++n)
      operands[n] = attention::cast_operand(free.launch, p[n]);
  }
}

/// The row sum's terms at one end.
void terms_end(const Kernel& kernel, std::vector<float>& terms, const std::vector<float>& values,
               float scale) {
  if (kernel.recipe.softmax.row_sum == recipe::RowSum::unquantized) return;  // terms as they are
  for (std::size_t n = 0; n < terms.size(); ++n)
    terms[n] = attention::row_sum_term(kernel, terms[n], values[n], scale);
}

}  // namespace

FreeLaunch::FreeLaunch(const recipe::Recipe& recipe, const layout::Layout& layout,
                       const attention::QuantisedHead& head, Freedom allowed)
    : launch(recipe, layout, head), freedom(allowed), f(launch.pair_factor(0, 0)) {}

Interval FreeLaunch::alpha(float before, float after) const {
  return power(attention::alpha_exponent(launch, before, after, f));
}

Interval FreeLaunch::power(float x) const {
  if (is_exact(*this)) return around_exact(launch, x);
  return legal_exp2(x, numerics::exp2_rounded(x, launch.recipe.subnormals),
                    attention::power<float>(launch, x), freedom);
}

void FreeLaunch::p(const attention::RowScores& row, float m, RowP& p) const {
  p.ends_are_all = true;
  p.low.resize(row.s.size());
  p.high.resize(row.s.size());
  std::vector<float> x(row.s.size());
  attention::p_exponents(launch, row, m, f, x);
  numerics::exp2_rounded(x, p.low, launch.recipe.subnormals);
  attention::powers(launch, x, p.high);
  const auto set_ends = [&](const auto& legal) {
    float *low = p.low.data(), *high = p.high.data();
    for (std::size_t n = 0; n < x.size(); ++n) {
      const Interval ends = legal(x[n], low[n], high[n]);
      low[n] = ends.low;
      high[n] = ends.high;
    }
  };
  if (is_exact(*this))
    set_ends([&](float at, float, float) { return around_exact(launch, at); });
  else
    set_ends([allowed = freedom](float at, float rounded, float golden) {
      return legal_exp2(at, rounded, golden, allowed);
    });
  make_operands(*this, p.low, p.cast_low);
  make_operands(*this, p.high, p.cast_high);
  if (launch.p_grouped) {
    p.scale = cast_groups(launch, p.cast_low, p.cast_high);
  } else {
    attention::cast_p(launch, p.cast_low, numerics::Path::fast);
    attention::cast_p(launch, p.cast_high, numerics::Path::fast);
  }
  terms_end(launch, p.low, p.cast_low, p.scale.low);
  terms_end(launch, p.high, p.cast_high, p.scale.high);
}

}  // namespace karat::bounds
