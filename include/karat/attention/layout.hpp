// Everything about a kernel launch that depends on recipe and grid alone: the order of tokens, the
// mask, the blocks and their visiting order, the scale groups. Heads share one layout.
#pragma once

#include <memory>
#include <vector>

#include "karat/mask/mask.hpp"
#include "karat/quant/quantise.hpp"
#include "karat/recipe/recipe.hpp"
#include "karat/video/grid.hpp"
#include "karat/video/token_order.hpp"

namespace karat::attention {

struct Layout {
  video::Extent3 grid;
  std::size_t channels = 0;
  video::TokenOrder order;
  std::unique_ptr<mask::Mask> mask;
  mask::BlockMap blocks;  ///< entries of each row stand in the order the kernel visits them
  quant::Grouping q_groups, k_groups, v_groups;

  /// Multiply-adds of Q K^T and P V over all visited blocks of one head.
  double multiply_adds() const;
};

/// @throws Error(usage) when the recipe has no meaning on this grid.
Layout make_layout(const recipe::Recipe& recipe, video::Extent3 grid, std::size_t channels);

}  // namespace karat::attention
