// Attention of one head, bit for bit as the recipe's kernel computes it.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "karat/attention/head.hpp"
#include "karat/attention/taps.hpp"

namespace karat::attention {

struct HeadResult;

struct AttendOptions {
  numerics::Path path = numerics::Path::fast;  ///< scalar: the slow engine, obviously right
  int threads = 0;                             ///< 0: all the machine offers
  std::vector<int> query_blocks;               ///< compute only these (ascending); empty: all
  std::vector<int> tapped;                     ///< query blocks to record (subset of the computed)
  Workings workings = Workings::dropped;       ///< tapped: by the fast path alone
  /// Where workings are tapped, the tapped blocks (ascending) whose stages are recorded too. Taps
  /// of the others hold p, m and l besides, o where pv is not promoted, a and s where recipe.skip
  /// may leave visits out.
  std::vector<int> staged = {};
  /// A kernel that gets d^-1/2 log2 e wrong: what is in force of this constant times the factor,
  /// one rounding to f32. (For diagnosing kernels; no recipe means it.)
  std::optional<double> score_factor = {};
  std::function<void(std::size_t done, std::size_t total)> progress;  ///< called from any worker
  /// Takes each tap as soon as its query block is done, on the worker that ran it, together with
  /// its finished rows in `result`; HeadResult::taps stays empty. Lets all blocks be tapped in
  /// little memory; a tap that is not moved from lends its memory to the next.
  std::function<void(BlockTap&& tap, const HeadResult& result)> on_tap;
};

struct HeadResult {
  std::vector<float> o;        ///< tokens x channels, original order, exact in output_format()
  std::vector<float> lse;      ///< tokens; natural logarithm or log2 as the recipe says
  std::vector<float> m;        ///< tokens; final running maximum
  std::vector<float> l;        ///< tokens; final row sum
  std::vector<BlockTap> taps;  ///< in ascending order of query blocks
  std::int64_t saturated_p_codes = 0;  ///< codes of P at the largest finite value
  /// Per query block the visited key blocks that recipe.skip finds small, in the order of visits:
  /// left out of this launch or of the next step's. Empty where skip.rule is never.
  std::vector<std::vector<std::int32_t>> small_blocks;
};

/// The format of the output: recipe.output, or bf16 where the cast to it comes before v's scale
/// (finish.cast before_scale).
numerics::FormatId output_format(const recipe::Recipe& recipe);

/// Bits are a function of (recipe, layout, head) alone.
/// Rows of query blocks that were not computed are NaN.
HeadResult attend(const recipe::Recipe& recipe, const layout::Layout& layout,
                  const QuantisedHead& head, const AttendOptions& options = {});

}  // namespace karat::attention
