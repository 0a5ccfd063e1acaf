// How much of the full attention a mask leaves, counted in pairs, tiles and blocks.
#pragma once

#include <cstdint>

#include "karat/mask/mask.hpp"

namespace karat::mask {

struct Density {
  double tokens = 0;  ///< kept token pairs / L^2, L real tokens
  double tiles = 0;   ///< tile pairs with a kept pair / all tile pairs
  double blocks = 0;  ///< work: kept blocks, each counted as a whole block, / L^2; ragged tiles and
                      ///< padding can bring it above 1
  std::int64_t full_blocks = 0;
  std::int64_t partial_blocks = 0;
};

/// @param order the mask's own
/// @param query_block, key_block what a whole block of the map holds
Density density(const Mask& mask, const video::TokenOrder& order, const BlockMap& blocks,
                int query_block, int key_block);

}  // namespace karat::mask
