// Mistakes about the scales of quantised operands: left out, of another operand, group or head,
// inverted, rounded, in another order.
#include <algorithm>
#include <cmath>

#include "actions.hpp"

namespace karat::golden {
namespace {

std::vector<float>& scales_of(attention::QuantisedHead& head, int x) {
  return (x == kQ ? head.q : x == kK ? head.k : head.v).scales;
}

/// Whether every operand of the set has scales, more than `least` each.
bool scaled(const Trial& trial, int operands, std::size_t least = 0) {
  const attention::QuantisedHead& head = *trial.operands;
  const quant::Quantised* const all[] = {&head.q, &head.k, &head.v};
  for (const int x : {kQ, kK, kV})
    if ((operands >> x & 1) != 0 && all[x]->scales.size() <= least) return false;
  return true;
}

/// The same change to the scales of every operand of the set.
bool change(Trial& trial, int operands, void (*how)(std::vector<float>&), std::size_t least = 0) {
  if (!scaled(trial, operands, least)) return false;
  for (const int x : {kQ, kK, kV})
    if ((operands >> x & 1) != 0) how(scales_of(trial.own_operands(), x));
  return true;
}

/// A power of two: the exponent rounded down, to nearest, up.
template <Powers powers>
void to_power_of_two(std::vector<float>& scales) {
  for (float& s : scales) {
    int exponent = 0;
    const float fraction = std::frexp(s, &exponent);  // in [0.5, 1)
    const bool down = powers == kPowerBelow || (powers == kPowerNearest && fraction < 0.75f);
    s = std::ldexp(1.0f, down || fraction == 0.5f ? exponent - 1 : exponent);
  }
}

}  // namespace

bool scale_missing(Trial& trial, int operands) {
  return change(trial, operands, [](auto& scales) { std::ranges::fill(scales, 1.0f); });
}

bool scale_inverted(Trial& trial, int operands) {
  return change(trial, operands, [](auto& scales) {
    for (float& s : scales) s = 1.0f / s;
  });
}

bool scale_twice(Trial& trial, int operands) {
  return change(trial, operands, [](auto& scales) {
    for (float& s : scales) s *= s;
  });
}

bool scale_of_next_group(Trial& trial, int operands) {
  constexpr auto kRotate = [](std::vector<float>& scales) {
    std::rotate(scales.begin(), scales.begin() + 1, scales.end());
  };
  return change(trial, operands, kRotate, 1);
}

bool scale_of_previous_group(Trial& trial, int operands) {
  constexpr auto kRotate = [](std::vector<float>& scales) {
    std::rotate(scales.begin(), scales.end() - 1, scales.end());
  };
  return change(trial, operands, kRotate, 1);
}

bool scale_of_first_group(Trial& trial, int operands) {
  constexpr auto kFill = [](std::vector<float>& scales) {
    const float first = scales.front();
    std::ranges::fill(scales, first);
  };
  return change(trial, operands, kFill, 1);
}

template <Powers powers>
bool scale_to_power_of_two(Trial& trial, int operands) {
  return change(trial, operands, to_power_of_two<powers>);
}
template bool scale_to_power_of_two<kPowerBelow>(Trial&, int);
template bool scale_to_power_of_two<kPowerNearest>(Trial&, int);
template bool scale_to_power_of_two<kPowerAbove>(Trial&, int);

/// One operand's scales are read for the other's.
bool scale_of_other(Trial& trial, int which) {
  if (!scaled(trial, kOfQK)) return false;
  std::vector<float>& to = scales_of(trial.own_operands(), which);
  const std::vector<float>& from = scales_of(trial.own_operands(), which == kQ ? kK : kQ);
  for (std::size_t g = 0; g < to.size(); ++g) to[g] = from[std::min(g, from.size() - 1)];
  return true;
}

/// s_k is read for q and s_q for k.
bool scales_exchanged(Trial& trial, int) {
  if (!scaled(trial, kOfQK)) return false;
  const std::vector<float> q = trial.operands->q.scales, k = trial.operands->k.scales;
  const auto read = [](const std::vector<float>& from, std::vector<float>& to) {
    for (std::size_t g = 0; g < to.size(); ++g) to[g] = from[std::min(g, from.size() - 1)];
  };
  read(k, scales_of(trial.own_operands(), kQ));
  read(q, scales_of(trial.own_operands(), kK));
  return q != k;
}

/// V's scales per channel move, its codes stay.
bool scales_permuted(Trial& trial, int which) {
  if (trial.operands->v.grouping.channels == 1 || !scaled(trial, kOfV)) return false;
  quant::Quantised& v = trial.own_operands().v;
  const std::vector<std::int32_t> from = permutation(v.channels, which);
  const std::vector<float> scales = v.scales;
  for (std::size_t g = 0; g < scales.size(); ++g)
    v.scales[g] = scales[g / v.channels * v.channels + from[g % v.channels]];
  return true;
}

namespace {

bool take_scales(Trial& trial, int operands, std::size_t head) {
  if (head == trial.base.head || !scaled(trial, operands)) return false;
  attention::QuantisedHead other;
  if (trial.values) {
    other = attention::quantise_head(trial.recipe, *trial.layout, trial.base.values_of(head).view(),
                                     numerics::Path::fast);
  } else {
    const std::lock_guard lock(*trial.base.file);
    other = cases::quantised(trial.recipe, *trial.layout,
                             trial.base.inputs->codes(trial.base.batch, head));
  }
  for (const int x : {kQ, kK, kV})
    if ((operands >> x & 1) != 0) scales_of(trial.own_operands(), x) = scales_of(other, x);
  return true;
}

}  // namespace

bool scale_of_first_head(Trial& trial, int operands) { return take_scales(trial, operands, 0); }

bool scale_of_next_head(Trial& trial, int operands) {
  return take_scales(trial, operands, (trial.base.head + 1) % trial.base.inputs->shape().heads);
}

}  // namespace karat::golden
