// A recipe with its variants and their layouts: all of a study that no head decides.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "karat/layout/layout.hpp"
#include "karat/recipe/recipe.hpp"
#include "karat/study/ladder.hpp"
#include "karat/study/quantity.hpp"

namespace karat::study {

/// A kernel and what its launch needs.
struct PreparedKernel {
  recipe::Recipe recipe;
  layout::Layout layout;
};

struct SuspectKernel {
  Suspect suspect;
  PreparedKernel kernel;  ///< with the suspect's edit
};

struct PreparedRung {
  Part part;
  PreparedKernel so_far;  ///< all parts up to this one
  std::optional<PreparedKernel>
      alone;  ///< this part and no other; empty where it needs those before it
};

struct Prepared {
  PreparedKernel full;
  PreparedKernel unmasked;
  std::vector<PreparedRung> rungs;      ///< empty unless taken apart
  std::vector<SuspectKernel> suspects;  ///< likewise
  std::string mask_key;                 ///< equal for equal masks over equal blocks
  std::string rows_key;                 ///< equal where query blocks and order are
};

/// @throws Error(usage) when the recipe has no meaning on the grid
Prepared prepare(const recipe::Recipe& recipe, video::Extent3 grid, std::size_t channels,
                 bool take_apart);

}  // namespace karat::study
