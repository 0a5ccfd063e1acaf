// Everything about a kernel launch that is decided before a single product: the order of tokens,
// the mask, the blocks and their visiting order, the scale groups.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "karat/mask/mask.hpp"
#include "karat/quant/quantise.hpp"
#include "karat/recipe/recipe.hpp"
#include "karat/video/grid.hpp"
#include "karat/video/token_order.hpp"

namespace karat::layout {

/// A mask that comes with the workload (mask.kind given), over positions of `order`.
using GivenMask = std::function<std::unique_ptr<mask::Mask>(const video::TokenOrder& order)>;

/// What a launch takes from its workload beside Q, K and V.
struct Setting {
  video::Extent3 grid;
  std::size_t channels = 128;
  int text = 0;          ///< tokens behind the video's, in the same attention
  GivenMask given_mask;  ///< mask.kind given
  /// block.order given: per query block the key blocks in the order of visiting, each kept one
  /// once.
  std::vector<std::vector<std::int32_t>> given_order;

  std::int64_t tokens() const { return grid.volume() + text; }
};

/// What means are taken over (predict.unit): predictors and coarse branches ask.
struct MeanRanges {
  std::vector<video::Range> queries, keys;
};
MeanRanges mean_ranges(const recipe::Recipe& recipe, const video::TokenOrder& order);

struct Layout {
  video::Extent3 grid;
  std::size_t channels = 0;
  video::TokenOrder order;      ///< of the queries and the output
  video::TokenOrder key_order;  ///< of keys and values; differs where clusters order them
  std::unique_ptr<mask::Mask> mask;
  mask::BlockMap blocks;  ///< entries of each row stand in the order the kernel visits them
  quant::Grouping q_groups, k_groups, v_groups;
  recipe::Branch branch;
  MeanRanges means;  ///< where branch.kind is coarse; else empty

  /// Multiply-adds of Q K^T and P V over all visited blocks of one head.
  double multiply_adds() const;
};

/// Orders of queries and keys, and the mask over them: what a mask rule or a predictor answers.
struct Arrangement {
  video::TokenOrder order, key_order;
  std::unique_ptr<mask::Mask> mask;
};

/// The layout of every head, for recipes whose mask does not look at Q and K.
/// @throws Error(usage) when the recipe has no meaning on this setting, or a predictor needs a
/// head.
Layout make_layout(const recipe::Recipe& recipe, const Setting& setting);
Layout make_layout(const recipe::Recipe& recipe, video::Extent3 grid, std::size_t channels);
/// The same with orders and mask decided elsewhere.
Layout make_layout(const recipe::Recipe& recipe, const Setting& setting, Arrangement arrangement);

}  // namespace karat::layout
