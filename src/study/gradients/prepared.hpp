// A recipe with a backward and its variants: all of a study of gradients that no head decides.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "../prepared.hpp"
#include "karat/study/gradient_ladder.hpp"

namespace karat::study {

/// A forward with its backward, and what the launch of both needs.
struct PreparedBackward {
  PreparedKernel kernel;
  std::string forward_key;    ///< equal for equal forwards
  std::string uncoded_p_key;  ///< for equal outputs of an uncoded P; empty where none is read
};

struct PreparedGradientRung {
  GradientPart part;
  PreparedBackward so_far;  ///< all parts up to this one
  /// This part and no other, under the mask and without it; empty where it is a step.
  std::optional<PreparedBackward> alone, alone_dense;
};

struct PreparedGradients {
  PreparedBackward full, unmasked;
  std::vector<PreparedGradientRung> rungs;  ///< empty unless taken apart
  std::string mask_key;                     ///< equal for equal masks over equal blocks
  std::string rows_key;                     ///< equal where blocks and order are
  /// Of the backward, which all variants share.
  std::vector<video::Range> query_blocks, key_blocks;
};

/// @throws Error(usage) when the recipe has no backward, or no meaning on the grid
PreparedGradients prepare_gradients(const recipe::Recipe& recipe, video::Extent3 grid,
                                    std::size_t channels, bool take_apart);

}  // namespace karat::study
