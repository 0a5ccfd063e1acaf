// What a correct kernel may write where its recipe leaves something free. The recipe fixes every
// operation but exp2, which hardware gets right within 2 ulp (ex2.approx); a user may open more
// (the order of f32 sums, fused multiply-adds, an approximate reciprocal). From that freedom
// follow, by interval arithmetic in the recipe's own roundings, the legal values of every stage
// behind it. docs/bounds.md derives each step.
#pragma once

#include <memory>
#include <vector>

#include "karat/attention/attend.hpp"

namespace karat::bounds {

/// The order of the additions of the row sum and of f32.fma's P V. Tensor cores fix their own sums.
enum class Summation {
  fixed,      ///< as the recipe has it
  any_order,  ///< any tree over the terms, products fused or not: the worst case
  likely,     ///< any tree, roundings taken as independent of mean zero: a value lies outside with
              ///< probability 1e-6 at most. Never a reason to fail.
};
/// a*b + c as one operation: in l*alpha + P, O*alpha + T and the addition of v's mean.
enum class Contraction { none, allowed };

/// What is free, whichever exp2 but the exact one the recipe has.
/// Relative freedom of exp2 against its correctly rounded value g: a result lies in
/// [fl(g*low), fl(g*high)]. 2 ulp are at most 2^-22 of 2^x and g is within 2^-24 of it, so that any
/// factor from 1 - 5*2^-24 to 1 + 5*2^-24 (and a bit) is possible; one more 2^-24 covers the bit.
/// exp2(0) = 1 and exp2(-inf) = 0 are exact, as PTX promises.
struct Freedom {
  float low = 0x1.fffff4p-1f;   ///< 1 - 6*2^-24
  float high = 0x1.000006p+0f;  ///< 1 + 6*2^-24
  Summation summation = Summation::fixed;
  Contraction contraction = Contraction::none;
  /// 0: 1/l correctly rounded. n: within n ulp (rcp.approx.ftz.f32: 1), then the multiplication.
  int reciprocal_ulp = 0;
};
/// No freedom at all: bounds collapse to the golden values (the tests' proof of the propagation).
inline constexpr Freedom kNoFreedom{1.0f, 1.0f};

/// Does this recipe leave anything free? Not with softmax.exp2 "exact".
bool leaves_freedom(const recipe::Recipe& recipe);
/// `allowed`, without exp2's part where the recipe's exp2 is exact.
Freedom freedom_of(const recipe::Recipe& recipe, Freedom allowed = {});
/// Does it make any difference to the recipe's own values?
bool leaves_freedom(const Freedom& freedom);

/// Legal values of one query block, both ends included, sizes as in BlockTap.
struct BlockBounds {
  std::vector<float> p_low, p_high;          ///< rows x columns, P as the PV instruction reads it
  std::vector<float> l_low, l_high;          ///< visited x rows
  std::vector<float> o_low, o_high;          ///< visited x rows x channels; empty unless asked for
  std::vector<float> out_low, out_high;      ///< rows x channels, exact in the output's format
  std::vector<float> row_l_low, row_l_high;  ///< rows: the last of l
  std::vector<float> lse_low, lse_high;      ///< rows
};

enum class Detail {
  outputs,  ///< out, row_l, lse
  stages,   ///< p, l and o after every key block too
};

/// Legal values of a head's branch, tokens x channels; branch_range() makes them.
struct BranchRange {
  std::vector<float> low, high;
};

/// Bounds of one head's query blocks. Thread-safe; references its arguments.
class HeadBounds {
 public:
  /// @param branch  what is added to the outputs; null: the head's own
  HeadBounds(const recipe::Recipe& recipe, const layout::Layout& layout,
             const attention::QuantisedHead& head, int threads = 0, Freedom freedom = {},
             const BranchRange* branch = nullptr);
  ~HeadBounds();
  HeadBounds(const HeadBounds&) = delete;
  HeadBounds& operator=(const HeadBounds&) = delete;

  /// `o`, `lse` of the golden result for the block's rows (rows x channels, rows) are where the
  /// intervals lie around. @throws Error(internal) if they do not contain them.
  BlockBounds of(const attention::BlockTap& tap, std::span<const float> o,
                 std::span<const float> lse, Detail detail) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// The order in which legal values form an interval: numbers ascending, -0 below +0. An end that is
/// NaN makes NaN legal too, beyond all numbers on its side: [Inf, NaN] holds these two, [NaN, NaN]
/// NaN alone.
bool inside(float value, float low, float high);

}  // namespace karat::bounds
