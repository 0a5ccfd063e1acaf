// The engine's operations on whole rows, with another exp2 in the place of the rounded one.
#include "karat/bounds/legal_kernels.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "any_order.hpp"
#include "coin.hpp"
#include "karat/attention/operations/finish.hpp"
#include "karat/attention/operations/probability.hpp"
#include "karat/attention/operations/pv.hpp"
#include "karat/attention/operations/row_sum.hpp"
#include "karat/attention/operations/score.hpp"
#include "karat/numerics/functions/exp2.hpp"
#include "non_finite.hpp"
#include "visits.hpp"

namespace karat::bounds {
namespace {

using numerics::Path;

/// The recipe with the order of the row sum that kernel `seed` takes where any is allowed.
recipe::Recipe reordered(recipe::Recipe recipe, Freedom freedom, std::uint32_t seed) {
  using recipe::RowSumOrder;
  constexpr RowSumOrder kOrders[] = {RowSumOrder::pairwise, RowSumOrder::sequential,
                                     RowSumOrder::wgmma_quad};
  if (freedom.summation != Summation::fixed)
    recipe.softmax.row_sum_order = kOrders[seed % std::size(kOrders)];
  return recipe;
}

class Run {
 public:
  Run(const FreeLaunch& free, const LegalKernel& kernel, const attention::BlockTap& tap,
      std::span<const float> branch)
      : free_(free),
        launch_(free.launch),
        kernel_(kernel),
        tap_(tap),
        branch_(branch),
        coin_(kernel.seed + 97u * static_cast<std::uint32_t>(tap.query_block)),
        rows_(static_cast<std::size_t>(tap.queries.size())),
        o_(rows_ * launch_.channels, 0.0f),
        sums_(rows_) {}

  LegalRows all(Detail detail) {
    LegalRows result;
    for (std::size_t visit = 0; visit < tap_.key_block.size(); ++visit) {
      absorb(visit);
      if (detail == Detail::outputs) continue;
      for (const auto& partial : sums_)
        result.l_by_visit.push_back(attention::row_sum(launch_, partial));
      result.o_by_visit.insert(result.o_by_visit.end(), o_.begin(), o_.end());
    }
    finish(result);
    return result;
  }

 private:
  bool errs_high() {
    return kernel_.exp2 == Errs::high || (kernel_.exp2 == Errs::at_random && coin_.toss());
  }
  /// Is 2^x the recipe's own value, and no other legal?
  bool is_fixed(float x) const {
    return x == 0 || x == -kInfinity || free_.freedom.low == free_.freedom.high;
  }
  float erring(float rounded) {
    return launch_.fp32.flushed(rounded * (errs_high() ? free_.freedom.high : free_.freedom.low));
  }

  void absorb(std::size_t visit) {
    const video::Range keys = launch_.layout.blocks.key_blocks[tap_.key_block[visit]];
    const auto columns = static_cast<std::size_t>(keys.size());
    // As the golden kernel even where others part: what those write is legal, and shown by nothing.
    const bool skipped = decision(free_, tap_, visit).golden_skips;
    std::vector<float> values(skipped ? 0 : rows_ * columns), alphas(rows_), terms(columns);
    p_scale_.assign(rows_, 1.0f);
    for (std::size_t i = 0; i < rows_; ++i) {
      const float m = tap_.m[visit * rows_ + i];
      const float x = attention::alpha_exponent(
          launch_, free_.maximum_before(tap_.m, rows_, visit, i), m, free_.f);
      alphas[i] = is_fixed(x) ? attention::power<float>(launch_, x)
                              : erring(numerics::exp2_rounded(x, launch_.recipe.subnormals));
      terms.assign(columns, 0.0f);
      if (!skipped) probabilities(visit, i, m, terms, {&values[i * columns], columns});
      add_to_row_sum(terms, alphas[i], sums_[i]);
    }
    if (skipped)
      attention::rescale<float, float>(launch_, alphas, o_);
    else
      multiply_by_v(values, keys, alphas);
  }

  /// P as the PV instruction reads it, and the terms of the row sum.
  void probabilities(std::size_t visit, std::size_t row, float m, std::vector<float>& terms,
                     std::span<float> values) {
    std::vector<float> x(terms.size());
    attention::p_exponents(
        launch_, attention::row_scores(launch_, tap_, visit, row, tap_.a, tap_.s), m, free_.f, x);
    std::vector<float> own(x.size());
    attention::powers(launch_, x, own);
    numerics::exp2_rounded(x, terms, launch_.recipe.subnormals);
    for (std::size_t n = 0; n < x.size(); ++n) {
      terms[n] = is_fixed(x[n]) ? own[n] : erring(terms[n]);
      values[n] = attention::cast_operand(launch_, terms[n]);
    }
    const float scale = p_scale_[row] = attention::cast_p(launch_, values, Path::fast).scale;
    for (std::size_t n = 0; n < x.size(); ++n)
      terms[n] = attention::row_sum_term(launch_, terms[n], values[n], scale);
  }

  void add_to_row_sum(std::vector<float>& terms, float alpha, attention::PartialSums<float>& sums) {
    if (backwards()) std::ranges::reverse(terms);
    if (fuses())
      attention::add_to_row_sum(launch_, terms, alpha, sums, numerics::OneRounding{});
    else
      attention::add_to_row_sum(launch_, terms, alpha, sums);
  }
  bool backwards() const {
    return free_.freedom.summation != Summation::fixed && kernel_.seed % 2 == 1;
  }

  bool fuses() const {
    return free_.freedom.contraction == Contraction::allowed && kernel_.seed % 2 == 0;
  }

  void multiply_by_v(std::vector<float>& p, video::Range keys, const std::vector<float>& alphas) {
    const auto columns = static_cast<std::size_t>(keys.size());
    attention::Values v = attention::values_of(launch_);
    std::vector<float> turned;
    if (pv_reordered(free_) && backwards()) {
      const std::size_t channels = launch_.channels;
      for (std::int64_t key = keys.end - 1; key >= keys.begin; --key)
        turned.insert(turned.end(), &launch_.head.v.values[key * channels],
                      &launch_.head.v.values[key * channels] + channels);
      for (std::size_t i = 0; i < rows_; ++i)
        std::reverse(&p[i * columns], &p[i * columns] + columns);
      v = {.all = numerics::row_major<const float>(turned.data(), columns, channels),
           .scales_at = {}};
      keys = {0, keys.size()};
    }
    const auto rows = numerics::row_major<const float>(p.data(), rows_, columns);
    if (!fuses() || launch_.recipe.pv.promote_every == 0 || launch_.segments(keys).size() != 1)
      return attention::add_pv<float>(launch_, rows, p_scale_, v, keys, alphas, o_, Path::fast);
    std::vector<float> t(o_.size(), 0.0f);
    attention::add_pv<float>(launch_, rows, p_scale_, v, keys, std::vector<float>(rows_, 1.0f), t,
                             Path::fast);
    for (std::size_t e = 0; e < o_.size(); ++e)
      o_[e] = launch_.fp32.fused(o_[e], alphas[e / launch_.channels], t[e]);
  }

  void finish(LegalRows& result) {
    const std::vector<float> factors = attention::output_factors(launch_, launch_.multiplier);
    attention::OutputTerms terms{factors, launch_.head.smoothed.v_mean};
    const auto visits = tap_.key_block.size();
    result.out = std::move(o_);
    for (std::size_t i = 0; i < rows_; ++i) {
      const std::span<float> row(&result.out[i * launch_.channels], launch_.channels);
      const float l = result.l.emplace_back(attention::row_sum(launch_, sums_[i]));
      const std::vector<float> branch = attention::branch_terms(
          launch_, branch_,
          launch_.layout.order.token_at[tap_.queries.begin + static_cast<std::int64_t>(i)]);
      terms.branch = branch;
      if (l == 0 || visits == 0) {
        std::ranges::fill(row, attention::output_without_keys(launch_.recipe));
        attention::add_branch(launch_, row, terms.branch, Path::fast);
        result.lse.push_back(-kInfinity);
        continue;
      }
      const float divisor = attention::divisor(launch_, l);
      float r = attention::whole_reciprocal(launch_, divisor);
      if (free_.freedom.reciprocal_ulp > 0)
        r = std::nextafter(launch_.fp32.divide(1.0f, divisor), coin_.toss() ? kInfinity : 0.0f);
      const auto by_r = [r](std::size_t) { return r; };
      if (fuses())
        attention::finish_row(launch_, row, by_r, terms, Path::fast, {}, numerics::OneRounding{});
      else
        attention::finish_row(launch_, row, by_r, terms, Path::fast);
      result.lse.push_back(lse(i, l));
    }
  }

  /// As a kernel computes it: log2 within 2^-22, then f32 operations.
  float lse(std::size_t row, float l) {
    const float m = tap_.m[(tap_.key_block.size() - 1) * rows_ + row];
    const float exact =
        attention::log_sum_exp(launch_, tap_.queries.begin + static_cast<std::int64_t>(row), m, l);
    if (!leaves_freedom(free_.freedom)) return exact;
    const double log2_l = numerics::log2_f64(l);
    const double unit = launch_.recipe.softmax.lse == recipe::Lse::log2 ? 1.0 : std::numbers::ln2;
    const double error =
        unit * 0x1p-22 * std::max(1.0, std::abs(log2_l)) + 0x1p-24 * std::abs(exact);
    return static_cast<float>(exact + (errs_high() ? error : -error));
  }

  const FreeLaunch& free_;
  const Launch& launch_;
  const LegalKernel& kernel_;
  const attention::BlockTap& tap_;
  std::span<const float> branch_;  ///< of the head
  Coin coin_;
  std::size_t rows_;
  std::vector<float> o_;
  std::vector<attention::PartialSums<float>> sums_;
  std::vector<float> p_scale_;  ///< of the rows of a visit
};

}  // namespace

struct LegalKernels::State {
  const recipe::Recipe& recipe;
  const layout::Layout& layout;
  const attention::QuantisedHead& head;
  Freedom freedom;
};

LegalKernels::LegalKernels(const recipe::Recipe& recipe, const layout::Layout& layout,
                           const attention::QuantisedHead& head, Freedom freedom)
    : state_(new State{recipe, layout, head, freedom}) {}
LegalKernels::~LegalKernels() = default;

LegalRows LegalKernels::run(const LegalKernel& kernel, const attention::BlockTap& tap,
                            Detail detail, std::span<const float> branch) const {
  const recipe::Recipe recipe = reordered(state_->recipe, state_->freedom, kernel.seed);
  const FreeLaunch free(recipe, state_->layout, state_->head, state_->freedom);
  const std::span<const float> added = branch.empty() ? state_->head.branch : branch;
  return Run(free, kernel, tap, added).all(detail);
}

}  // namespace karat::bounds
