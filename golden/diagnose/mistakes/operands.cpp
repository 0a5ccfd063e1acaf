// Mistakes about the recipe, codes of operands, constants and the kernel itself.
#include <algorithm>
#include <bit>
#include <cmath>
#include <numbers>

#include "actions.hpp"

namespace karat::golden {

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
  const std::size_t channels = trial.layout->channels;
  const double root = std::sqrt(static_cast<double>(channels));
  const bool omitted = trial.recipe.qk.score_scale == recipe::ScoreScale::omitted;
  const auto padded = [&](std::size_t to) { return root / std::sqrt(static_cast<double>(to)); };
  switch (static_cast<Constant>(which)) {
    case kNoRootD:
      trial.score_factor = root;
      return !omitted;
    case kRootDTwice:
      trial.score_factor = 1 / root;
      break;
    case kNoLog2E:
      trial.score_factor = 1 / std::numbers::log2e;
      break;
    case kLog2ETwice:
      trial.score_factor = std::numbers::log2e;
      break;
    case kPaddedToPower:
      trial.score_factor = padded(std::bit_ceil(channels));
      return !omitted && trial.score_factor != 1;
    case kPaddedTo128:
      trial.score_factor = padded(128);
      return !omitted && channels < 128;
  }
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
  const bool rounds_scores = fault == KernelFault::scores_in_bf16 ||
                             fault == KernelFault::natural_scores_in_bf16 ||
                             fault == KernelFault::products_in_bf16;
  const bool unrounded =
      is_fused(recipe.qk.scale_order) || recipe.softmax.exponent == recipe::Exponent::accumulator;
  if (rounds_scores && (unrounded || recipe.softmax.rescale_threshold != 0)) return false;
  const bool casts_p = fault == KernelFault::p_through_f16 || fault == KernelFault::p_through_bf16;
  if (casts_p && !quant::has_scale(recipe.p.format)) return false;
  if (fault == KernelFault::l_of_one_lane &&
      recipe.softmax.row_sum_order != recipe::RowSumOrder::wgmma_quad)
    return false;
  trial.faults.push_back(fault);
  return true;
}

}  // namespace karat::golden
