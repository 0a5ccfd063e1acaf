// A mask of the caller: BlockMask arrays, pairs, or both, over the positions of a recipe's order.
#pragma once

#include <cstdint>
#include <memory>

#include "karat/layout/layout.hpp"
#include "karat/case/given_mask.hpp"
#include "karat/karat.h"
#include "karat/recipe/recipe.hpp"

namespace karat::c {

struct MaskArrays {
  const karat_block_mask* block_mask = nullptr;
  const std::uint8_t* keep = nullptr;
  std::int64_t keep_positions = 0;
  bool none() const { return block_mask == nullptr && keep == nullptr; }
};

/// @throws Error(usage) where a recipe with a mask of its own gets another
void require_given(const recipe::Recipe& recipe, const MaskArrays& mask);

/// As attention wants it; empty where there is none. @throws Error(usage), when called, for arrays
/// that do not fit the order
layout::GivenMask given_mask(const MaskArrays& mask);

/// As a golden file holds it, pairs by token; null where there is none.
std::shared_ptr<const cases::GivenMask> stored_mask(const MaskArrays& mask, recipe::Recipe recipe,
                                                     layout::Setting setting);

}  // namespace karat::c
