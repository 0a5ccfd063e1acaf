// A mask as FlexAttention's mask_mod, in Python source.
#pragma once

#include <optional>
#include <string>

#include "karat/layout/layout.hpp"

namespace karat::cases {

/// A module with mask_mod(b, h, q_idx, kv_idx) over positions of the recipe's order, true where the
/// layout's mask keeps the pair: from the coordinates of the tokens for windows, from positions for
/// bands, from a table of blocks where the mask keeps whole blocks of query_block x key_block.
/// Padding is in no pair; positions behind the last are false.
/// @param arrays  the file that holds the BlockMask arrays, for the module's load()
/// @return nothing for a mask that neither a formula nor a table of up to 2^22 whole blocks says
std::optional<std::string> mask_mod_source(const recipe::Recipe& recipe,
                                           const layout::Layout& layout, int query_block,
                                           int key_block, const std::string& arrays);

/// One sentence on why a mask_mod stands beside the arrays.
inline constexpr const char* kMaskModWarning =
    "FlexAttention's BACKEND=\"FLASH\" has ignored BlockMask arrays under a trivial mask_mod "
    "(pytorch 188322): give it this mask_mod too";

}  // namespace karat::cases
