// Mistakes about the recipe, quantised operands, constants and the kernel itself.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "actions.hpp"

namespace karat::golden {
namespace {

quant::Quantised& operand(attention::QuantisedHead& head, int which) {
  return which == kQ ? head.q : which == kK ? head.k : head.v;
}

}  // namespace

namespace {

std::vector<std::int32_t> permutation(std::size_t d, int which) {
  std::vector<std::int32_t> from(d);
  const auto n = static_cast<std::int32_t>(d);
  for (std::int32_t j = 0; j < n; ++j) {
    switch (which) {
      case kReversed:
        from[j] = n - 1 - j;
        break;
      case kHalves:
        from[j] = (j + n / 2) % n;
        break;
      case kPairs:
        from[j] = j ^ 1;
        break;
      case kEvenOdd:
        from[j] = j < n / 2 ? 2 * j : 2 * (j - n / 2) + 1;
        break;
      case kOddEven:
        from[j] = j % 2 == 0 ? j / 2 : n / 2 + j / 2;
        break;
      case kFours:
        from[j] = j / 16 * 16 + j % 4 * 4 + j % 16 / 4;
        break;
      case kEights:
        from[j] = j ^ 8;
        break;
    }
    if (from[j] >= n) from[j] = j;
  }
  return from;
}

}  // namespace

bool channels_permuted(Trial& trial, int which) {
  trial.channel_from = permutation(trial.layout->channels, which);
  return true;
}

/// V's codes move, their scales stay (scales per channel tell the difference).
bool codes_permuted(Trial& trial, int which) {
  if (trial.operands->v.grouping.channels == 1) return false;
  quant::Quantised& v = trial.own_operands().v;
  const auto from = permutation(v.channels, which);
  const std::vector<float> values = v.values;
  for (std::size_t i = 0; i < v.rows; ++i)
    for (std::size_t j = 0; j < v.channels; ++j)
      v.values[i * v.channels + j] = values[i * v.channels + from[j]];
  return true;
}

bool rotated_on_one_side(Trial& trial, int which) {
  quant::Rule& rule = which == kQ ? trial.recipe.q : trial.recipe.k;
  if (rule.rotate == quant::Rotate::none) return false;
  rule.rotate = quant::Rotate::none;
  return true;
}

namespace {

bool scaled(const Trial& trial, int which) {
  const attention::QuantisedHead& head = *trial.operands;
  return !(which == kQ ? head.q : which == kK ? head.k : head.v).scales.empty();
}

}  // namespace

bool scale_of_other(Trial& trial, int which) {
  if (!scaled(trial, kQ) || !scaled(trial, kK)) return false;
  attention::QuantisedHead& head = trial.own_operands();
  quant::Quantised& to = operand(head, which);
  const quant::Quantised& from = operand(head, which == kQ ? kK : kQ);
  for (std::size_t g = 0; g < to.scales.size(); ++g)
    to.scales[g] = from.scales[std::min(g, from.scales.size() - 1)];
  return true;
}

bool scale_missing(Trial& trial, int which) {
  if (!scaled(trial, which)) return false;
  std::ranges::fill(operand(trial.own_operands(), which).scales, 1.0f);
  return true;
}

bool scale_inverted(Trial& trial, int which) {
  if (!scaled(trial, which)) return false;
  for (float& s : operand(trial.own_operands(), which).scales) s = 1.0f / s;
  return true;
}

bool scale_twice(Trial& trial, int which) {
  if (!scaled(trial, which)) return false;
  for (float& s : operand(trial.own_operands(), which).scales) s *= s;
  return true;
}

bool scale_of_next_group(Trial& trial, int which) {
  if (!scaled(trial, which)) return false;
  auto& scales = operand(trial.own_operands(), which).scales;
  std::rotate(scales.begin(), scales.begin() + 1, scales.end());
  return scales.size() > 1;
}

bool scale_of_first_group(Trial& trial, int which) {
  if (!scaled(trial, which)) return false;
  auto& scales = operand(trial.own_operands(), which).scales;
  std::ranges::fill(scales, scales.front());
  return scales.size() > 1;
}

/// The last k-group of the head dimension is not summed.
bool last_channels_left_out(Trial& trial, int) {
  const auto group = static_cast<std::size_t>(
      numerics::k_group(numerics::instruction(trial.recipe.qk.instruction)));
  quant::Quantised& q = trial.own_operands().q;
  if (group >= q.channels) return false;
  for (std::size_t i = 0; i < q.rows; ++i)
    std::fill_n(&q.values[(i + 1) * q.channels - group], group, 0.0f);
  return true;
}

bool q_mean_forgotten(Trial& trial, int) {
  if (trial.operands->smoothed.q_block_means.empty()) return false;
  trial.own_operands().smoothed.q_block_means.clear();
  return true;
}

bool k_mean_forgotten(Trial& trial, int) {
  if (trial.operands->smoothed.q_dot_k_mean.empty()) return false;
  trial.own_operands().smoothed.q_dot_k_mean.clear();
  return true;
}

bool constant_wrong(Trial& trial, int which) {
  const double root = std::sqrt(static_cast<double>(trial.layout->channels));
  constexpr double kNone = 1.0;
  const bool omitted = trial.recipe.qk.score_scale == recipe::ScoreScale::omitted;
  if (omitted && which == kNoRootD) return false;
  trial.score_factor = which == kNoRootD      ? root
                       : which == kRootDTwice ? kNone / root
                       : which == kNoLog2E    ? kNone / std::numbers::log2e
                                              : std::numbers::log2e;
  return true;
}

bool kernel_fault(Trial& trial, int which) {
  if (!kernel_runs(trial.recipe) || trial.score_factor) return false;
  const auto fault = static_cast<KernelFault>(which);
  const recipe::Recipe& recipe = trial.recipe;
  const bool multiplied = recipe.p.apply == recipe::PApply::multiply && recipe.p.multiplier != 1;
  if (fault == KernelFault::multiplier_kept && !multiplied) return false;
  if (fault == KernelFault::v_mean_forgotten && trial.operands->smoothed.v_mean.empty())
    return false;
  if (fault == KernelFault::l_of_one_lane &&
      recipe.softmax.row_sum_order != recipe::RowSumOrder::wgmma_quad)
    return false;
  trial.faults.push_back(fault);
  return true;
}

}  // namespace karat::golden
