// Private: pairs that a mask drops, filled with a value.
#pragma once

#include "karat/mask/mask.hpp"
#include "softmax_rows.hpp"

namespace karat::attention {

/// Elements of s (queries x keys) whose pairs are dropped become `value`.
/// @param cover  mask.cover(queries, keys)
void fill_dropped(const mask::Mask& mask, float value, video::Range queries, video::Range keys,
                  mask::Cover cover, Block s);

}  // namespace karat::attention
