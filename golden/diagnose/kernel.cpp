// One visited key block after the other, whole rows at a time.
#include "kernel.hpp"

#include <algorithm>

#include "cast.hpp"
#include "karat/numerics/functions/exp2.hpp"
#include "probability.hpp"
#include "pv_bounds.hpp"
#include "row_sum.hpp"

namespace karat::golden {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

class Kernel {
 public:
  Kernel(const recipe::Recipe& recipe, const layout::Layout& layout,
         const attention::QuantisedHead& head, const attention::BlockTap& tap,
         const KernelFaults& faults, const KernelExp2& exp2)
      : recipe_(recipe),
        layout_(layout),
        head_(head),
        tap_(tap),
        faults_(faults),
        exp2_(exp2),
        fp_{recipe.subnormals},
        exponents_(recipe, layout, head),
        pv_(numerics::instruction(recipe.pv.instruction)),
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
  float power(float x) const {
    const float rounded = numerics::exp2_rounded(x, recipe_.subnormals);
    return exp2_ && x != 0 && x != -kInf ? fp_.flushed(exp2_(x, rounded)) : rounded;
  }
  float maximum(std::size_t visit, std::size_t row) const {
    return visit == 0 ? exponents_.initial_max() : tap_.m[(visit - 1) * rows_ + row];
  }

  void absorb(std::size_t visit) {
    const std::size_t width = tap_.key_position.size();
    const auto first = static_cast<std::size_t>(tap_.column_begin[visit]);
    const auto columns = static_cast<std::size_t>(tap_.column_begin[visit + 1]) - first;
    std::vector<float> codes(rows_ * columns), alphas(rows_), x(columns), p(columns);
    for (std::size_t i = 0; i < rows_; ++i) {
      const float m = tap_.m[visit * rows_ + i];
      const float before = maximum(visit, i);
      const float step = exponents_.of_alpha(before, m);
      const float alpha = power(step);
      const bool stale = has(KernelFault::stale_maximum) && before != -kInf;
      exponents_.of_p({&tap_.s[i * width + first], columns}, stale ? before : m, x);
      for (std::size_t n = 0; n < columns; ++n) p[n] = power(x[n]);
      cast_p(p, {&codes[i * columns], columns});
      std::vector<float> terms = row_sum_terms(p, {&codes[i * columns], columns});
      if (has(KernelFault::zero_keys_counted)) add_zero_keys(columns, m, terms);
      const float l_alpha = has(KernelFault::l_not_rescaled) ? 1.0f : alpha;
      sums_[i].absorb(recipe_, {l_alpha, l_alpha}, terms, terms);
      alphas[i] = has(KernelFault::o_not_rescaled) ? 1.0f : alpha;
    }
    const video::Range keys = layout_.blocks.key_blocks[tap_.key_block[visit]];
    const bool after = has(KernelFault::alpha_after_product);
    if (!after) rescale(alphas);
    product({codes.data(), rows_, columns, columns, 1}, keys);
    if (after) rescale(alphas);
    if (has(KernelFault::o_kept_in_output_format)) round(o_, recipe_.output);
  }

  void rescale(const std::vector<float>& alphas) {
    for (std::size_t e = 0; e < o_.size(); ++e)
      o_[e] = fp_.multiply(o_[e], alphas[e / layout_.channels]);
  }

  /// Lanes that a short block leaves empty, read as zeros.
  void add_zero_keys(std::size_t columns, float m, std::vector<float>& terms) const {
    if (m == -kInf) return;
    const float zero = 0;
    float x = 0;
    exponents_.of_p({&zero, 1}, m, {&x, 1});
    terms.resize(std::max<std::size_t>(columns, recipe_.block.k), power(x));
  }

  void cast_p(std::span<const float> p, std::span<float> codes) const {
    const bool multiplied =
        recipe_.p.apply == recipe::PApply::multiply && recipe_.p.multiplier != 1.0f;
    for (std::size_t n = 0; n < p.size(); ++n)
      codes[n] = multiplied ? fp_.multiply(p[n], recipe_.p.multiplier) : p[n];
    bounds::cast(codes, recipe_.p.format,
                 quant::cast_policy(recipe_.p.format, recipe_.p.rounding, recipe_.p.overflow));
  }

  std::vector<float> row_sum_terms(const std::vector<float>& p,
                                   std::span<const float> codes) const {
    if (recipe_.softmax.row_sum == recipe::RowSum::unquantized) return p;
    const float inverse = recipe_.p.apply == recipe::PApply::multiply
                              ? fp_.flushed(1.0f / recipe_.p.multiplier)
                              : 1.0f;
    std::vector<float> terms(codes.begin(), codes.end());
    for (float& term : terms) term = fp_.multiply(term, inverse);
    return terms;
  }

  void product(numerics::MatrixView<const float> codes, video::Range keys) {
    const std::size_t channels = layout_.channels;
    const std::int64_t step = recipe_.pv.promote_every > 0 ? recipe_.pv.promote_every : keys.size();
    std::int64_t end = keys.end;
    if (has(KernelFault::last_group_left_out))
      end = std::max(keys.begin, keys.end - numerics::k_group(pv_));
    std::vector<float> t(o_.size());
    for (std::int64_t begin = keys.begin; begin < end; begin += step) {
      const std::int64_t size = std::min(begin + step, end) - begin;
      numerics::RowOperand rows;
      numerics::ColumnOperand columns;
      rows.pack(pv_, {&codes(0, begin - keys.begin), rows_, static_cast<std::size_t>(size),
                      static_cast<std::size_t>(keys.size()), 1});
      columns.pack(pv_, head_.v.view().rows_from(begin, size).transposed());
      if (recipe_.pv.promote_every == 0) {
        numerics::chain(pv_, rows, columns, numerics::Start::from_d,
                        numerics::row_major(o_.data(), rows_, channels));
        continue;
      }
      numerics::chain(pv_, rows, columns, numerics::Start::absent,
                      numerics::row_major(t.data(), rows_, channels));
      const bool scaled = bounds::v_scaled_per_block(head_);
      for (std::size_t e = 0; e < o_.size(); ++e) {
        const float value = scaled ? fp_.multiply(t[e], head_.v.scale(begin, e % channels)) : t[e];
        o_[e] = fp_.add(o_[e], value);
      }
    }
  }

  static void round(std::span<float> x, numerics::FormatId format,
                    numerics::Rounding rounding = numerics::Rounding::nearest_even) {
    bounds::cast(x, format, quant::cast_policy(format, rounding, numerics::Overflow::saturate));
  }

  KernelRows finish() {
    const std::size_t channels = layout_.channels;
    KernelRows result{.out = std::move(o_), .l = std::vector<float>(rows_)};
    for (std::size_t i = 0; i < rows_; ++i) {
      const std::span<float> row(&result.out[i * channels], channels);
      result.l[i] = sums_[i].total(recipe_).low;
      finish_row(row, result.l[i], sums_[i]);
    }
    return result;
  }

  void finish_row(std::span<float> row, float l, const bounds::RowSum& sum) const {
    if (l == 0) {
      const bool nan = recipe_.finish.fully_masked == recipe::FullyMasked::nan;
      return std::fill(row.begin(), row.end(),
                       nan ? std::numeric_limits<float>::quiet_NaN() : 0.0f);
    }
    const bool multiplied = recipe_.p.apply == recipe::PApply::multiply;
    const float multiplier =
        multiplied && !has(KernelFault::multiplier_kept) ? recipe_.p.multiplier : 1.0f;
    const bool before_scale = recipe_.finish.cast == recipe::Cast::before_scale;
    for (std::size_t j = 0; j < row.size(); ++j) {
      const float own = has(KernelFault::l_of_one_lane) ? sum.partial((j >> 1) & 3).low : l;
      const float r = has(KernelFault::not_normalised) ? 1.0f : fp_.flushed(1.0f / own);
      row[j] = fp_.multiply(row[j], r);
    }
    if (before_scale) round(row, recipe_.output);
    for (std::size_t j = 0; j < row.size(); ++j) {
      const float s_v =
          bounds::v_scaled_per_block(head_) ? 1.0f : head_.v.scale(tap_.queries.begin, j);
      row[j] = fp_.multiply(row[j], fp_.flushed(s_v / multiplier));
      if (!head_.smoothed.v_mean.empty() && !before_scale && !has(KernelFault::v_mean_forgotten))
        row[j] = fp_.add(row[j], head_.smoothed.v_mean[j]);
    }
    if (has(KernelFault::output_through_f16)) round(row, numerics::FormatId::f16);
    round(row, before_scale ? numerics::FormatId::bf16 : recipe_.output,
          has(KernelFault::output_toward_zero) ? numerics::Rounding::toward_zero
                                               : numerics::Rounding::nearest_even);
  }

  const recipe::Recipe& recipe_;
  const layout::Layout& layout_;
  const attention::QuantisedHead& head_;
  const attention::BlockTap& tap_;
  const KernelFaults& faults_;
  const KernelExp2& exp2_;
  bounds::Fp32 fp_;
  bounds::Exponents exponents_;
  const numerics::Instruction& pv_;
  std::size_t rows_;
  std::vector<float> o_;
  std::vector<bounds::RowSum> sums_;
};

}  // namespace

bool kernel_runs(const recipe::Recipe& recipe) {
  return recipe.softmax.exp2 == recipe::Exp2::rounded &&
         recipe.skip.rule == recipe::SkipRule::never;
}

KernelRows run_kernel(const recipe::Recipe& recipe, const layout::Layout& layout,
                      const attention::QuantisedHead& head, const attention::BlockTap& tap,
                      const KernelFaults& faults, const KernelExp2& exp2) {
  return Kernel(recipe, layout, head, tap, faults, exp2).run();
}

}  // namespace karat::golden
