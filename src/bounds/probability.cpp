// From scores to intervals of P, in the recipe's own roundings.
#include "probability.hpp"

#include <algorithm>

#include "cast.hpp"

namespace karat::bounds {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
/// Below this a kernel may flush a result or not; 2^-125 is above everything so small.
constexpr float kTiny = 0x1p-125f;

float score_constant(const recipe::Recipe& recipe, std::size_t channels) {
  constexpr double kLog2E = 1.4426950408889634;
  return static_cast<float>(recipe.qk.score_scale == recipe::ScoreScale::omitted
                                ? kLog2E
                                : kLog2E / std::sqrt(static_cast<double>(channels)));
}

float offset_of(const recipe::P& p) {
  return p.apply == recipe::PApply::exponent_offset ? p.offset : 0.0f;
}

void cast_p(const recipe::Recipe& recipe, std::span<const float> p, std::vector<float>& out) {
  const Fp32 fp{recipe.subnormals};
  const bool multiplied =
      recipe.p.apply == recipe::PApply::multiply && recipe.p.multiplier != 1.0f;
  out.resize(p.size());
  for (std::size_t n = 0; n < p.size(); ++n)
    out[n] = multiplied ? fp.multiply(p[n], recipe.p.multiplier) : p[n];
  cast(out, recipe.p.format,
       quant::cast_policy(recipe.p.format, recipe.p.rounding, recipe.p.overflow));
}

}  // namespace

Interval legal_exp2(float x, float rounded, const Freedom& freedom) {
  if (x == 0 || x == -kInf || freedom.low == freedom.high) return {rounded, rounded};
  const Interval around{rounded * freedom.low, rounded * freedom.high};
  if (rounded < kTiny) return {0.0f, std::max(around.high, kTiny)};
  return around;
}

Exponents::Exponents(const recipe::Recipe& recipe, const layout::Layout& layout,
                     const attention::QuantisedHead& head)
    : recipe_(recipe),
      fp_{recipe.subnormals},
      initial_max_(recipe.softmax.initial_max.value_or(-kInf)),
      fused_factor_(score_constant(recipe, layout.channels)) {
  if (recipe.qk.scale_order == recipe::ScaleOrder::fused)
    fused_factor_ =
        fp_.multiply(fp_.multiply(head.q.scale(0, 0), head.k.scale(0, 0)), fused_factor_);
}

float Exponents::of_alpha(float before, float after) const {
  if (after == -kInf) return 0.0f;
  const float difference = fp_.add(before, -after);
  return recipe::is_fused(recipe_.qk.scale_order) ? fp_.multiply(difference, fused_factor_)
                                                  : difference;
}

float Exponents::in_log2(float score) const {
  return recipe::is_fused(recipe_.qk.scale_order) ? fp_.multiply(score, fused_factor_) : score;
}

void Exponents::of_p(std::span<const float> s, float m, std::span<float> x) const {
  if (m == -kInf) {  // no key so far, or a visit left out
    for (std::size_t n = 0; n < s.size(); ++n) x[n] = std::isnan(s[n]) ? s[n] : -kInf;
    return;
  }
  const float offset = offset_of(recipe_.p);
  if (!recipe::is_fused(recipe_.qk.scale_order)) {
    const float reference = fp_.add(m, -offset);
    for (std::size_t n = 0; n < s.size(); ++n) x[n] = fp_.add(s[n], -reference);
    return;
  }
  const float reference = fp_.add(fp_.multiply(m, fused_factor_), -offset);
  for (std::size_t n = 0; n < s.size(); ++n)
    x[n] = s[n] == -kInf ? -kInf : fp_.flushed(std::fma(s[n], fused_factor_, -reference));
}

void legal_p(const recipe::Recipe& recipe, const Freedom& freedom, std::span<const float> x,
             RowP& p) {
  p.low.resize(x.size());
  p.high.resize(x.size());
  numerics::exp2_rounded(x, p.low, recipe.subnormals);
  for (std::size_t n = 0; n < x.size(); ++n) {
    const Interval legal = legal_exp2(x[n], p.low[n], freedom);
    p.low[n] = legal.low;
    p.high[n] = legal.high;
  }
  cast_p(recipe, p.low, p.cast_low);
  cast_p(recipe, p.high, p.cast_high);
  if (recipe.softmax.row_sum == recipe::RowSum::unquantized) return;
  const Fp32 fp{recipe.subnormals};
  const float inverse = recipe.p.apply == recipe::PApply::multiply
                            ? fp.flushed(1.0f / recipe.p.multiplier)
                            : 1.0f;
  for (std::size_t n = 0; n < x.size(); ++n) {
    p.low[n] = fp.multiply(p.cast_low[n], inverse);
    p.high[n] = fp.multiply(p.cast_high[n], inverse);
  }
}

}  // namespace karat::bounds
