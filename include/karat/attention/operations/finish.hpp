// From the accumulators of a row to its outputs.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "karat/attention/attend.hpp"
#include "karat/attention/operations/cast.hpp"
#include "karat/attention/operations/kernel.hpp"

namespace karat::attention {

/// What divides o: l, or fl(l*multiplier) as finish.divisor has it.
float divisor(const Kernel& kernel, float l);
/// g of a divisor, by which div.full multiplies both sides; 1 for other divisions.
float division_scale(const Kernel& kernel, float divisor);
/// r = fl(1/d) of a divisor, or rcp.approx.ftz of it where finish.reciprocal is mufu, of fl(d*g)
/// where it is div_full.
float reciprocal(const Kernel& kernel, float divisor);
/// fl(r*g): what o is multiplied by in the end, where nothing on the way leaves the normal numbers.
float whole_reciprocal(const Kernel& kernel, float divisor);

/// What a row whose l is 0 gets in every channel; its lse is -Inf.
float output_without_keys(const recipe::Recipe& recipe);

/// fl(s_v/multiplier) per channel; s_v counts as 1 where it varies along the keys. s_v itself where
/// the divisor holds the multiplier.
std::vector<float> output_factors(const Launch& launch, float multiplier);

/// fl(branch.weight*b) per channel of a token, b its row of the head's branch; empty without.
std::vector<float> branch_terms(const Launch& launch, std::span<const float> branch,
                                std::int32_t token);
inline std::vector<float> branch_terms(const Launch& launch, std::int32_t token) {
  return branch_terms(launch, launch.head.branch, token);
}

/// What the accumulators of a row meet behind the division.
struct OutputTerms {
  std::span<const float> factor;       ///< output_factors()
  std::span<const float> mean;         ///< what smoothing took out of v; empty: nothing
  float division_scale = 1;            ///< of the row
  std::span<const float> branch = {};  ///< branch_terms(); empty: nothing
};

/// type(fl(x + branch)) of a row that the sparse kernel stored; as it is without a branch.
template <typename V, typename B>
void add_branch(const Kernel& kernel, std::span<V> row, std::span<const B> branch,
                numerics::Path path,
                numerics::Rounding rounding = numerics::Rounding::nearest_even) {
  if (branch.empty()) return;
  for (std::size_t j = 0; j < row.size(); ++j) row[j] = kernel.fp32.add(row[j], V(branch[j]));
  const numerics::FormatId format = output_format(kernel.recipe);
  cast(row, format, quant::cast_policy(format, rounding), path);
}

/// How the last cast rounds. (No recipe means anything but the default.)
struct LastCast {
  std::optional<numerics::FormatId> through = {};  ///< cast to this format first
  numerics::Rounding rounding = numerics::Rounding::nearest_even;
};

/// out = cast(fl(fl(fl(o*r)*factor) + mean)), or as finish.cast has it, in place; o is multiplied
/// by division_scale before, where that is not 1. Where finish.multiplier is not 1, what is cast is
/// multiplied by it first. A branch comes last.
/// @param r    the reciprocal of the divisor for channel j: float or numerics::Interval
/// @param add  fl(fl(x*factor) + mean)
template <typename V, typename Reciprocal, typename Add = numerics::SeparateRoundings>
void finish_row(const Kernel& kernel, std::span<V> row, const Reciprocal& r,
                const OutputTerms& terms, numerics::Path path, LastCast last = {},
                const Add& add = {}) {
  const numerics::Fp32& fp = kernel.fp32;
  const auto cast_to = [&](numerics::FormatId format, numerics::Rounding rounding) {
    cast(row, format, quant::cast_policy(format, rounding), path);
  };
  const bool before_scale = kernel.recipe.finish.cast == recipe::Cast::before_scale;
  const bool centred = !terms.mean.empty() && !before_scale;
  if (terms.division_scale != 1.0f)
    for (V& x : row) x = fp.multiply(x, V(terms.division_scale));
  for (std::size_t j = 0; j < row.size(); ++j) row[j] = fp.multiply(row[j], r(j));
  if (before_scale) cast_to(kernel.recipe.output, numerics::Rounding::nearest_even);
  for (std::size_t j = 0; j < row.size(); ++j)
    row[j] = centred ? add(fp, row[j], V(terms.factor[j]), V(terms.mean[j]))
                     : fp.multiply(row[j], V(terms.factor[j]));
  if (kernel.recipe.finish.multiplier != 1.0f)
    for (V& x : row) x = fp.multiply(x, V(kernel.recipe.finish.multiplier));
  if (last.through) cast_to(*last.through, numerics::Rounding::nearest_even);
  cast_to(output_format(kernel.recipe), last.rounding);
  add_branch(kernel, row, terms.branch, path, last.rounding);
}

/// (m + log2 l) * ln 2 in f64, what P's offset and k's smoothing changed put back, one rounding;
/// not times ln 2 where softmax.lse is log2. Where finish.logarithm is mufu, with u = fl(ln 2) or
/// 1: fl(fl(fl(m - offset) * u) + fl(lg2.approx.ftz(l) * u)), then fl(.. + fl(what k's smoothing
/// took)); libdevice's log2f in the place of lg2 where it is libdevice. The order of these
/// operations is open for mufu.
float log_sum_exp(const Launch& launch, std::int64_t position, float m, float l);

}  // namespace karat::attention
