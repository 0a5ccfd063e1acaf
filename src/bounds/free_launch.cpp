// From scores to intervals of alpha and P, in the recipe's own roundings.
#include "free_launch.hpp"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <limits>

#include "grouped_p.hpp"
#include "karat/attention/operations/cast.hpp"
#include "karat/attention/operations/probability.hpp"
#include "karat/attention/operations/score.hpp"
#include "karat/numerics/functions/exp2.hpp"
#include "non_finite.hpp"

namespace karat::bounds {
namespace {

/// Below this a kernel may flush a result or not; 2^-125 is above everything so small.
constexpr float kTiny = 0x1p-125f;

bool leaves_powers(const Freedom& freedom) { return freedom.low != freedom.high; }

/// What a kernel may return for 2^x where powers are free. The recipe's own value lies within the
/// freedom that the correctly rounded one has. By bits, which are in order as numbers that are not
/// negative are: compilers make vectors of masks.
struct LegalExp2 {
  explicit LegalExp2(const Freedom& freedom) : from(freedom.low), to(freedom.high) {}
  void operator()(float x, float rounded, float& low, float& high) const {
    constexpr auto kTinyBits = std::bit_cast<std::int32_t>(kTiny);
    const std::int32_t own = bits(rounded), argument = bits(x);
    const std::int32_t given = -static_cast<std::int32_t>(
        argument == 0 || argument == bits(-0.0f) || argument == bits(-kInfinity));
    const std::int32_t tiny = -(own < kTinyBits);
    const std::int32_t least = bits(rounded * from) & ~tiny;
    const std::int32_t most = std::max(bits(rounded * to), kTinyBits & tiny);
    low = std::bit_cast<float>((own & given) | (least & ~given));
    high = std::bit_cast<float>((own & given) | (most & ~given));
  }
  static constexpr std::int32_t bits(float x) { return std::bit_cast<std::int32_t>(x); }
  float from, to;
};

/// An exact 2^x has no f32 of its own: those around it, where ranges are asked for at all.
bool is_exact(const FreeLaunch& free) {
  return free.launch.recipe.softmax.exp2 == recipe::Exp2::exact && leaves_freedom(free.freedom);
}
Interval around_exact(const Kernel& kernel, float x) {
  const auto power = attention::power<double>(kernel, x);
  return {numerics::rounded_down(power), numerics::rounded_up(power)};
}

/// What the cast reads of one end of P.
void make_operands(const FreeLaunch& free, const std::vector<float>& p,
                   std::vector<float>& operands) {
  operands.resize(p.size());
  if (is_exact(free)) {
    for (std::size_t n = 0; n < p.size(); ++n)
      operands[n] = attention::cast_operand(free.launch, static_cast<double>(p[n]));
    return;
  }
  // cast_operand() without a branch; nothing is negative.
  const numerics::Fp32& fp = free.launch.fp32;
  const float least =
      fp.subnormals == numerics::Subnormals::flush ? std::numeric_limits<float>::min() : 0.0f;
  const float* from = p.data();
  float* to = operands.data();
  for (std::size_t n = 0; n < p.size(); ++n) {
    const float product = from[n] * free.launch.multiplier;
    to[n] = product < least ? 0.0f : product;
  }
}

void cast_end(const FreeLaunch& free, std::vector<float>& operands) {
  const recipe::P& p = free.launch.recipe.p;
  attention::cast(operands, p.format, {.rounding = p.rounding, .overflow = p.overflow},
                  numerics::Path::fast);
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
  if (!leaves_powers(freedom)) return attention::power<float>(launch, x);
  const LegalExp2 ends_of(freedom);
  Interval legal;
  ends_of(x, numerics::exp2_rounded(x, launch.recipe.subnormals), legal.low, legal.high);
  return legal;
}

void FreeLaunch::p(const attention::RowScores& row, float m, RowP& p) const {
  std::vector<float> x(row.s.size());
  attention::p_exponents(launch, row, m, f, x);
  this->p(x, p);
}

void FreeLaunch::p(std::span<const float> x, RowP& p) const {
  p.ends_are_all = true;
  p.low.resize(x.size());
  p.high.resize(x.size());
  float *low = p.low.data(), *high = p.high.data();
  if (is_exact(*this)) {
    for (std::size_t n = 0; n < x.size(); ++n) {
      const Interval around = around_exact(launch, x[n]);
      low[n] = around.low;
      high[n] = around.high;
    }
  } else if (leaves_powers(freedom)) {
    numerics::exp2_rounded(x, p.low, launch.recipe.subnormals);
    const LegalExp2 legal(freedom);
    for (std::size_t n = 0; n < x.size(); ++n) legal(x[n], low[n], low[n], high[n]);
  } else {
    attention::powers(launch, x, p.low);
    p.high = p.low;
  }
  make_operands(*this, p.low, p.cast_low);
  make_operands(*this, p.high, p.cast_high);
  if (launch.p_grouped) {
    p.scale = cast_groups(launch, p.cast_low, p.cast_high);
  } else {
    cast_end(*this, p.cast_low);
    cast_end(*this, p.cast_high);
  }
  terms_end(launch, p.low, p.cast_low, p.scale.low);
  terms_end(launch, p.high, p.cast_high, p.scale.high);
}

}  // namespace karat::bounds
