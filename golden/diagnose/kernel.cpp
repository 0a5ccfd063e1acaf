// The operations of the engine, whole rows at a time; a fault changes what one of them is given.
#include "kernel.hpp"

#include <algorithm>
#include <limits>
#include <numbers>
#include <utility>

#include "karat/attention/operations/cast.hpp"
#include "karat/attention/operations/finish.hpp"
#include "karat/attention/operations/probability.hpp"
#include "karat/attention/operations/pv.hpp"
#include "karat/attention/operations/row_sum.hpp"
#include "karat/attention/operations/score.hpp"

namespace karat::golden {
namespace {

using attention::Launch;
using numerics::Path;
constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

class FaultyKernel {
 public:
  FaultyKernel(const recipe::Recipe& recipe, const layout::Layout& layout,
               const attention::QuantisedHead& head, const attention::BlockTap& tap,
               const KernelFaults& faults, const KernelExp2& exp2)
      : launch_(recipe, layout, head),
        tap_(tap),
        faults_(faults),
        exp2_(exp2),
        f_(launch_.pair_factor(0, 0)),
        rows_(static_cast<std::size_t>(tap.queries.size())),
        o_(rows_ * layout.channels, 0.0f),
        sums_(rows_) {}

  KernelRows run() {
    for (std::size_t visit = 0; visit < tap_.key_block.size(); ++visit) absorb(visit);
    return finish();
  }

 private:
  bool has(KernelFault fault) const {
    return std::find(faults_.begin(), faults_.end(), fault) != faults_.end();
  }
  /// A score or maximum as an unfused kernel reads it back. Monotone, so that the maximum of what
  /// is read back is the maximum read back.
  float stored(float s) const {
    float unit = 0;
    if (has(KernelFault::scores_in_bf16)) unit = 1;
    if (has(KernelFault::natural_scores_in_bf16)) unit = std::numbers::ln2_v<float>;
    if (has(KernelFault::products_in_bf16))
      unit = static_cast<float>(1 / attention::score_scale(launch_.channels));
    if (unit == 0) return s;
    float x = s * unit;
    attention::cast({&x, 1}, numerics::FormatId::bf16,
                    quant::cast_policy(numerics::FormatId::bf16));
    return launch_.fp32.multiply(x, 1 / unit);
  }
  float power(float x) const {
    const float rounded = attention::power<float>(launch_, x);
    return exp2_ && x != 0 && x != -kInf ? launch_.fp32.flushed(exp2_(x, rounded)) : rounded;
  }

  void absorb(std::size_t visit) {
    const video::Range keys = launch_.layout.blocks.key_blocks[tap_.key_block[visit]];
    const auto columns = static_cast<std::size_t>(keys.size());
    std::vector<float> values(rows_ * columns), alphas(rows_), p_scale(rows_, 1.0f);
    for (std::size_t i = 0; i < rows_; ++i) {
      const float m = stored(tap_.m[visit * rows_ + i]);
      const float before =
          visit == 0 ? launch_.initial_max : stored(tap_.m[(visit - 1) * rows_ + i]);
      const bool undefined = has(KernelFault::unguarded_infinity) && m == -kInf;
      const float alpha =
          undefined ? kNaN : power(attention::alpha_exponent(launch_, before, m, f_));
      const bool stale = has(KernelFault::stale_maximum) && before != -kInf;
      std::vector<float> terms =
          probabilities(visit, i, stale ? before : m, {&values[i * columns], columns}, p_scale[i]);
      if (undefined) {
        std::ranges::fill(terms, kNaN);
        std::fill_n(&values[i * columns], columns, kNaN);
      }
      if (has(KernelFault::zero_keys_counted)) add_zero_keys(m, terms);
      attention::add_to_row_sum(launch_, terms, has(KernelFault::l_not_rescaled) ? 1.0f : alpha,
                                sums_[i]);
      alphas[i] = has(KernelFault::o_not_rescaled) ? 1.0f : alpha;
    }
    multiply_by_v(numerics::row_major<const float>(values.data(), rows_, columns), p_scale, keys,
                  alphas);
    if (has(KernelFault::o_kept_in_output_format))
      attention::cast(o_, launch_.recipe.output, quant::cast_policy(launch_.recipe.output));
  }

  /// P of one row as the PV instruction reads it, and the row's scale where it has one.
  /// @return the terms of the row sum
  std::vector<float> probabilities(std::size_t visit, std::size_t row, float m,
                                   std::span<float> values, float& scale) const {
    std::vector<float> terms(values.size());
    attention::RowScores scores = attention::row_scores(launch_, tap_, visit, row, tap_.a, tap_.s);
    std::vector<float> s(scores.s.begin(), scores.s.end());
    for (float& x : s) x = stored(x);
    scores.s = s;
    attention::p_exponents(launch_, scores, m, f_, terms);
    for (std::size_t n = 0; n < terms.size(); ++n) {
      terms[n] = power(terms[n]);
      values[n] = attention::cast_operand(launch_, terms[n]);
    }
    for (const auto& [fault, format] :
         {std::pair{KernelFault::p_through_f16, numerics::FormatId::f16},
          std::pair{KernelFault::p_through_bf16, numerics::FormatId::bf16}})
      if (has(fault)) attention::cast(values, format, quant::cast_policy(format));
    scale = attention::cast_p(launch_, values, Path::fast).scale;
    for (std::size_t n = 0; n < terms.size(); ++n)
      terms[n] = attention::row_sum_term(launch_, terms[n], values[n], scale);
    return terms;
  }

  /// Lanes that a short block leaves empty, read as zeros.
  void add_zero_keys(float m, std::vector<float>& terms) const {
    if (m == -kInf) return;
    const float zero = 0;
    float x = 0;
    attention::p_exponents(launch_, {.s = {&zero, 1}, .base = {0}, .factor = {0}}, m, f_, {&x, 1});
    terms.resize(std::max<std::size_t>(terms.size(), launch_.recipe.block.k), power(x));
  }

  void multiply_by_v(numerics::MatrixView<const float> p, const std::vector<float>& p_scale,
                     video::Range keys, const std::vector<float>& alphas) {
    if (has(KernelFault::last_group_left_out))
      keys.end = std::max(keys.begin, keys.end - numerics::k_group(launch_.pv));
    const bool after = has(KernelFault::alpha_after_product);
    const std::vector<float> ones(rows_, 1.0f);
    attention::add_pv<float>(launch_, p, p_scale, attention::values_of(launch_), keys,
                             after ? ones : alphas, o_, Path::fast);
    if (after) attention::rescale<float, float>(launch_, alphas, o_);
  }

  KernelRows finish() {
    const std::size_t channels = launch_.channels;
    KernelRows result{.out = std::move(o_), .l = std::vector<float>(rows_)};
    const std::vector<float> factors = attention::output_factors(
        launch_, has(KernelFault::multiplier_kept) ? 1.0f : launch_.multiplier);
    attention::OutputTerms terms{factors, launch_.head.smoothed.v_mean};
    if (has(KernelFault::v_mean_forgotten)) terms.mean = {};
    attention::LastCast last;
    if (has(KernelFault::output_through_f16)) last.through = numerics::FormatId::f16;
    if (has(KernelFault::output_toward_zero)) last.rounding = numerics::Rounding::toward_zero;
    for (std::size_t i = 0; i < rows_; ++i) {
      const std::span<float> row(&result.out[i * channels], channels);
      const float l = result.l[i] = attention::row_sum(launch_, sums_[i]);
      const auto divisor = [&](float sum) {
        return has(KernelFault::multiplier_kept) ? sum : attention::divisor(launch_, sum);
      };
      const auto r = [&](std::size_t j) {
        if (has(KernelFault::not_normalised)) return 1.0f;
        return attention::whole_reciprocal(
            launch_,
            divisor(has(KernelFault::l_of_one_lane) ? sums_[i][j / 2 % sums_[i].size()] : l));
      };
      const std::vector<float> branch = attention::branch_terms(
          launch_,
          launch_.layout.order.token_at[tap_.queries.begin + static_cast<std::int64_t>(i)]);
      terms.branch = branch;
      if (l == 0) {
        std::ranges::fill(row, attention::output_without_keys(launch_.recipe));
        attention::add_branch(launch_, row, terms.branch, Path::fast);
      } else {
        attention::finish_row(launch_, row, r, terms, Path::fast, last);
      }
    }
    return result;
  }

  const Launch launch_;
  const attention::BlockTap& tap_;
  const KernelFaults& faults_;
  const KernelExp2& exp2_;
  float f_;  ///< what fused exponents multiply scores by
  std::size_t rows_;
  std::vector<float> o_;
  std::vector<attention::PartialSums<float>> sums_;
};

}  // namespace

bool kernel_runs(const recipe::Recipe& recipe) {
  return recipe.softmax.exp2 != recipe::Exp2::exact && !recipe::skips_now(recipe.skip.rule);
}

KernelRows run_kernel(const recipe::Recipe& recipe, const layout::Layout& layout,
                      const attention::QuantisedHead& head, const attention::BlockTap& tap,
                      const KernelFaults& faults, const KernelExp2& exp2) {
  return FaultyKernel(recipe, layout, head, tap, faults, exp2).run();
}

}  // namespace karat::golden
