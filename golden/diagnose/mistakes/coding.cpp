// Mistakes on the way from values to codes: a rounding too many, zero groups without their guard.
#include <algorithm>
#include <cmath>
#include <limits>

#include "actions.hpp"
#include "karat/attention/operations/cast.hpp"
#include "karat/numerics/arithmetic/flush.hpp"

namespace karat::golden {
namespace {

using numerics::flush_subnormal;
using numerics::FormatId;

struct Operand {
  const quant::Rule* rule;
  quant::Quantised* made;
};
Operand operand(Trial& trial, attention::QuantisedHead& head, int x) {
  return x == kQ   ? Operand{&trial.recipe.q, &head.q}
         : x == kK ? Operand{&trial.recipe.k, &head.k}
                   : Operand{&trial.recipe.v, &head.v};
}

/// The rows that are quantised: in order, smoothed, rotated, not yet divided by scales.
attention::QuantisedHead uncoded(const Trial& trial) {
  recipe::Recipe plain = trial.recipe;
  for (quant::Rule* rule : {&plain.q, &plain.k, &plain.v}) rule->format = FormatId::f32;
  return attention::quantise_head(plain, *trial.layout, trial.values->view(), numerics::Path::fast);
}

float limit_of(const quant::Rule& rule) {
  return rule.limit > 0 ? rule.limit : quant::largest_finite(rule.format);
}

std::vector<float> group_maxima(const quant::Quantised& x, const quant::Grouping& grouping) {
  std::vector<float> maxima(grouping.count(), 0.0f);
  for (std::size_t i = 0; i < x.rows; ++i)
    for (std::size_t j = 0; j < x.channels; ++j) {
      float& amax = maxima[grouping.group(i, j)];
      amax = std::max(amax, std::abs(x.values[i * x.channels + j]));
    }
  return maxima;
}

/// What x is multiplied with, or divided by, under the code rule.
float scaled(float x, float scale, float amax, const quant::Rule& rule) {
  switch (rule.code_rule) {
    case quant::CodeRule::divide:
      return flush_subnormal(x / scale);
    case quant::CodeRule::reciprocal:
      return flush_subnormal(x * flush_subnormal(1.0f / scale));
    case quant::CodeRule::inverse_scale:
      break;
  }
  return flush_subnormal(x * flush_subnormal(limit_of(rule) / amax));
}

bool coded(const Trial& trial, int operands) {
  const quant::Rule* const rules[] = {&trial.recipe.q, &trial.recipe.k, &trial.recipe.v};
  for (const int x : {kQ, kK, kV})
    if ((operands >> x & 1) != 0 && (!quant::has_scale(rules[x]->format) ||
                                     rules[x]->rounding == numerics::Rounding::stochastic))
      return false;
  return trial.values != nullptr;
}

/// Whether an operand of the set may have a group whose amax is below `least`: one of zero codes
/// alone, or of so small a scale. Cheap, beside making codes again.
bool has_small_groups(const Trial& trial, int operands, float least) {
  const attention::QuantisedHead& head = *trial.operands;
  const quant::Rule* const rules[] = {&trial.recipe.q, &trial.recipe.k, &trial.recipe.v};
  const quant::Quantised* const all[] = {&head.q, &head.k, &head.v};
  for (const int x : {kQ, kK, kV}) {
    if ((operands >> x & 1) == 0) continue;
    const float smallest = 2 * least / limit_of(*rules[x]);
    if (std::ranges::any_of(all[x]->scales, [&](float s) { return s < smallest; })) return true;
    const std::vector<float> maxima = group_maxima(*all[x], all[x]->grouping);
    if (std::ranges::any_of(maxima, [](float amax) { return amax == 0; })) return true;
  }
  return false;
}

/// Codes of x / s, rounded to `through` on the way.
void code_again(quant::Quantised& made, const quant::Quantised& from, const quant::Rule& rule,
                FormatId through) {
  const std::vector<float> maxima = group_maxima(from, made.grouping);
  for (std::size_t i = 0; i < made.rows; ++i)
    for (std::size_t j = 0; j < made.channels; ++j) {
      const std::size_t e = i * made.channels + j;
      const float amax = maxima[made.grouping.group(i, j)];
      made.values[e] = amax == 0 ? 0.0f : scaled(from.values[e], made.scale(i, j), amax, rule);
    }
  attention::cast(made.values, through, quant::cast_policy(through));
  attention::cast(made.values, rule.format, {.rounding = rule.rounding, .overflow = rule.overflow},
                  numerics::Path::fast, made.codes);
}

template <FormatId through>
bool cast_twice(Trial& trial, int operands) {
  if (!coded(trial, operands)) return false;
  attention::QuantisedHead from = uncoded(trial), &made = trial.own_operands();
  for (const int x : {kQ, kK, kV})
    if ((operands >> x & 1) != 0) {
      const Operand own = operand(trial, made, x);
      code_again(*own.made, *operand(trial, from, x).made, *own.rule, through);
    }
  return true;
}

}  // namespace

bool cast_through_f16(Trial& trial, int operands) {
  return cast_twice<FormatId::f16>(trial, operands);
}
bool cast_through_bf16(Trial& trial, int operands) {
  return cast_twice<FormatId::bf16>(trial, operands);
}

/// 0/0 in groups of zeros: their codes are NaN.
bool zero_groups_unguarded(Trial& trial, int operands) {
  if (!coded(trial, operands) || !has_small_groups(trial, operands, 0)) return false;
  attention::QuantisedHead from = uncoded(trial), &made = trial.own_operands();
  bool any = false;
  for (const int x : {kQ, kK, kV}) {
    if ((operands >> x & 1) == 0) continue;
    quant::Quantised& own = *operand(trial, made, x).made;
    const std::vector<float> maxima = group_maxima(*operand(trial, from, x).made, own.grouping);
    for (std::size_t i = 0; i < own.rows; ++i)
      for (std::size_t j = 0; j < own.channels; ++j)
        if (maxima[own.grouping.group(i, j)] == 0) {
          own.values[i * own.channels + j] = std::numeric_limits<float>::quiet_NaN();
          any = true;
        }
  }
  return any;
}

/// Scales and codes of amax raised to at least a floor of 10^-which.
bool guard_floor(Trial& trial, int which) {
  const auto least = static_cast<float>(std::pow(10.0, -which));
  if (!coded(trial, kOfAll) || !has_small_groups(trial, kOfAll, least)) return false;
  attention::QuantisedHead from = uncoded(trial), &made = trial.own_operands();
  bool any = false;
  for (const int x : {kQ, kK, kV}) {
    const Operand own = operand(trial, made, x);
    const quant::Quantised& rows = *operand(trial, from, x).made;
    std::vector<float> maxima = group_maxima(rows, own.made->grouping);
    for (std::size_t g = 0; g < maxima.size(); ++g) {
      any |= maxima[g] < least;
      maxima[g] = std::max(maxima[g], least);
      quant::Rule rule = *own.rule;
      rule.guard = quant::Guard::one;
      own.made->scales[g] = quant::scale_of(maxima[g], rule);
    }
    for (std::size_t i = 0; i < rows.rows; ++i)
      for (std::size_t j = 0; j < rows.channels; ++j) {
        const std::size_t e = i * rows.channels + j;
        own.made->values[e] = scaled(rows.values[e], own.made->scale(i, j),
                                     maxima[own.made->grouping.group(i, j)], *own.rule);
      }
    attention::cast(own.made->values, own.rule->format,
                    {.rounding = own.rule->rounding, .overflow = own.rule->overflow},
                    numerics::Path::fast, own.made->codes);
  }
  return any;
}

}  // namespace karat::golden
