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
#include "row_lanes.hpp"

namespace karat::bounds {
namespace {

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

float smallest_operand(const FreeLaunch& free) {
  return free.launch.fp32.subnormals == numerics::Subnormals::flush
             ? std::numeric_limits<float>::min()
             : 0.0f;
}

/// What the cast reads of one end of P, from column `begin` on.
void make_operands(const FreeLaunch& free, const std::vector<float>& p, std::size_t begin,
                   std::vector<float>& operands) {
  operands.resize(p.size());
  if (is_exact(free)) {
    for (std::size_t n = begin; n < p.size(); ++n)
      operands[n] = attention::cast_operand(free.launch, static_cast<double>(p[n]));
    return;
  }
  // cast_operand() without a branch; nothing is negative.
  const float least = smallest_operand(free);
  const float* from = p.data();
  float* to = operands.data();
  for (std::size_t n = begin; n < p.size(); ++n) {
    const float product = from[n] * free.launch.multiplier;
    to[n] = product < least ? 0.0f : product;
  }
}

/// The row sum's terms at one end.
void terms_end(const Kernel& kernel, std::vector<float>& terms, const std::vector<float>& values,
               float scale, numerics::Path path) {
  const recipe::RowSum row_sum = kernel.recipe.softmax.row_sum;
  if (row_sum == recipe::RowSum::unquantized) return;  // terms as they are
  if (row_sum == recipe::RowSum::bf16 && path == numerics::Path::fast) {
    constexpr auto kFormat = numerics::FormatId::bf16;
    return attention::cast(terms, kFormat, quant::cast_policy(kFormat), numerics::Path::fast);
  }
  for (std::size_t n = 0; n < terms.size(); ++n)
    terms[n] = attention::row_sum_term(kernel, terms[n], values[n], scale);
}

}  // namespace

FreeLaunch::FreeLaunch(const recipe::Recipe& recipe, const layout::Layout& layout,
                       const attention::QuantisedHead& head, Freedom allowed)
    : launch(recipe, layout, head),
      freedom(allowed),
      f(launch.pair_factor(0, 0)),
      p_policy{.rounding = recipe.p.rounding, .overflow = recipe.p.overflow} {}

Interval FreeLaunch::alpha(float before, float after) const {
  return power(attention::alpha_exponent(launch, before, after, f));
}

void FreeLaunch::alphas(std::span<const float> before, std::span<const float> after,
                        std::span<Interval> alpha) const {
  if (is_exact(*this) || !leaves_powers(freedom)) {
    for (std::size_t i = 0; i < alpha.size(); ++i) alpha[i] = this->alpha(before[i], after[i]);
    return;
  }
  std::vector<float> x(alpha.size()), rounded(alpha.size());
  for (std::size_t i = 0; i < alpha.size(); ++i)
    x[i] = attention::alpha_exponent(launch, before[i], after[i], f);
  numerics::exp2_rounded(x, rounded, launch.recipe.subnormals);
  const LegalExp2 ends_of(freedom);
  for (std::size_t i = 0; i < alpha.size(); ++i)
    ends_of(x[i], rounded[i], alpha[i].low, alpha[i].high);
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

void FreeLaunch::p(std::span<const float> x, RowP& p, numerics::Path path) const {
  p.ends_are_all = true;
  for (std::vector<float>* ends : {&p.low, &p.high, &p.cast_low, &p.cast_high})
    ends->resize(x.size());
  float *low = p.low.data(), *high = p.high.data();
  std::size_t done = 0;  // operands too
  if (is_exact(*this)) {
    for (std::size_t n = 0; n < x.size(); ++n) {
      const Interval around = around_exact(launch, x[n]);
      low[n] = around.low;
      high[n] = around.high;
    }
  } else if (leaves_powers(freedom)) {
    numerics::exp2_rounded(x, p.low, launch.recipe.subnormals);
    if (path == numerics::Path::fast)
      done = lanes::legal_powers(
          {freedom.low, freedom.high, launch.multiplier, smallest_operand(*this)},
          {x.data(), low, high, p.cast_low.data(), p.cast_high.data()}, x.size());
    const LegalExp2 legal(freedom);
    for (std::size_t n = done; n < x.size(); ++n) legal(x[n], low[n], low[n], high[n]);
  } else {
    attention::powers(launch, x, p.low);
    p.high = p.low;
  }
  make_operands(*this, p.low, done, p.cast_low);
  make_operands(*this, p.high, done, p.cast_high);
  if (launch.p_grouped) {
    p.scale = cast_groups(launch, p.cast_low, p.cast_high, path);
  } else {
    // A policy made here would be read while it waits behind the stores of the row.
    attention::cast(p.cast_low, launch.recipe.p.format, p_policy, path);
    attention::cast(p.cast_high, launch.recipe.p.format, p_policy, path);
  }
  terms_end(launch, p.low, p.cast_low, p.scale.low, path);
  terms_end(launch, p.high, p.cast_high, p.scale.high, path);
}

}  // namespace karat::bounds
