// Orders and masks that follow from the recipe and the setting alone.
#pragma once

#include "karat/layout/layout.hpp"

namespace karat::layout {

/// Tiles or token-major order, text behind the video.
video::TokenOrder make_order(const recipe::Mask& spec, const Setting& setting);
/// The recipe's mask over that order.
std::unique_ptr<mask::Mask> make_mask(const recipe::Mask& spec, const Setting& setting,
                                      const video::TokenOrder& order);
Arrangement arrange(const recipe::Mask& spec, const Setting& setting);

}  // namespace karat::layout
