// From raw accumulators to exponents of 2: the score, the running maximum, the skip test, and the
// arguments of exp2 for alpha and P.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "karat/attention/operations/kernel.hpp"
#include "karat/attention/taps.hpp"

namespace karat::attention {

/// Of a query block's visits: qk.scale_order folded_until_last scales the last in its own way.
enum class Turn { earlier, last };
constexpr Turn turn_of(std::size_t visit, std::size_t visits) {
  return visit + 1 == visits ? Turn::last : Turn::earlier;
}

/// s of one pair from its raw accumulator, log2 units (not yet times f where the exponent is
/// fused): fl(a*fl(fl(s_q*s_k)*c)), or as qk.scale_order and qk.score_scale have it. Where scores
/// hold P's offset: fma(base, factor, -offset) of scaled().
float score(const Kernel& kernel, float a, float s_q, float s_k, Turn turn = Turn::earlier);

/// What a fused exponent starts from where softmax.exponent is accumulator.
struct Scaled {
  float base;    ///< a; fl(a*fl(s_q*s_k)) in the last visit of folded_until_last
  float factor;  ///< Kernel::factor(); c there
};
Scaled scaled(const Kernel& kernel, float a, float s_q, float s_k, Turn turn);

/// One row's scores of a visit.
struct RowScores {
  std::span<const float> s;
  /// scaled() of each, where exponents start from accumulators; else empty.
  std::vector<float> base, factor;
};
/// @param query  position
/// @param keys   positions of the row's columns
/// @param a      raw accumulators; not read unless exponents start from them
RowScores row_scores(const Launch& launch, std::int64_t query, video::Range keys,
                     std::span<const float> a, std::span<const float> s, Turn turn);
/// The same of a recorded visit; a and s hold all rows and columns of the tap (its own or others').
RowScores row_scores(const Launch& launch, const BlockTap& tap, std::size_t visit, std::size_t row,
                     std::span<const float> a, std::span<const float> s);

/// m' from the old maximum and the block's: the old one stays while fl(m' - m), in log2 units, is
/// at most the threshold of lazy rescaling. A maximum of zero is +0, whichever zero came first.
float next_maximum(const Kernel& kernel, float m, float block_maximum, float f);

/// The test of recipe.skip on one visit: x = the largest fl(block maximum - m) over the rows that
/// decide, m the maximum before the visit, log2 units. A block is small when fl(x + threshold) <=
/// 0, or, by its exponential, when 2^x as softmax.exp2 has it is below fl(factor/keys).
class SkipTest {
 public:
  /// The first visit is never small.
  SkipTest(const Kernel& kernel, std::size_t visit)
      : kernel_(kernel), active_(visit > 0 && kernel.recipe.skip.rule != recipe::SkipRule::never) {}
  bool active() const { return active_; }
  /// @param row  within its query block. Of a block too short to hold rows that decide, nothing is
  ///   small.
  void row(std::size_t row, float m_before, float block_maximum, float f);
  /// x; -Inf where the rows that decide see none of the block's keys.
  float largest() const { return largest_; }
  /// Whether rows decide at all.
  bool decides() const { return active_ && any_; }
  bool small() const;
  /// Whether the visit's exponentials, row sum and P V are left out.
  bool skips() const { return recipe::skips_now(kernel_.recipe.skip.rule) && small(); }

 private:
  const Kernel& kernel_;
  bool active_;
  bool any_ = false;
  float largest_ = -std::numeric_limits<float>::infinity();
};

/// The past is multiplied by 2 to this power when the maximum goes from m to `next`: fl(m - next)
/// in log2 units; 0 while no key has been seen.
float alpha_exponent(const Kernel& kernel, float m, float next, float f);

/// x = what P is 2 to the power of, for one row's scores under maximum m, R = Kernel::reference():
/// fl(s - R); fma(s, f, -R) where scale_order fuses the exponent; fma(base, factor, -R) where it
/// starts from accumulators, but fl(s - R) of scores that are -Inf or the masked score. While no
/// key has been seen, scores are -Inf and so is x; NaN stays NaN.
void p_exponents(const Kernel& kernel, const RowScores& row, float m, float f, std::span<float> x);

}  // namespace karat::attention
