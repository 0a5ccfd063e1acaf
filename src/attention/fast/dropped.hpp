// Private: pairs that a mask drops, filled with a value.
#pragma once

#include <type_traits>

#include "karat/mask/mask.hpp"
#include "softmax_rows.hpp"

namespace karat::attention {

/// Elements of s (queries x keys) whose pairs are dropped become `value`.
/// @param cover  mask.cover(queries, keys)
template <typename T>
void fill_dropped(const mask::Mask& mask, std::type_identity_t<T> value, video::Range queries,
                  video::Range keys, mask::Cover cover, BlockOf<T> s);

}  // namespace karat::attention
