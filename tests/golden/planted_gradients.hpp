// Mistakes of backward kernels, and kernels that make them: run by the engine on a golden file's
// case, by code of their own where no field says the mistake. The list was fixed before anything
// was measured with it.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "karat/attention/backward.hpp"
#include "karat/case/backward.hpp"
#include "karat/golden/golden_file.hpp"

namespace karat::golden {

/// What a kernel does otherwise behind a right forward.
struct PlantedGradient {
  enum class Where { field, s, dv, dp, dq, dk, other };  ///< what the mistake is one of
  enum class Mask { right, whole_blocks, whole_blocks_in_ds };

  Where where = Where::other;
  std::string name = {};    ///< what diagnosis has to say
  std::string preset = {};  ///< the golden one it was written for
  std::function<void(recipe::Recipe&)> edit = {};
  attention::BackwardErrors errors = {};
  std::function<void(cases::BackwardRun::Head&, const recipe::Recipe&, const layout::Layout&)>
      head = {};
  Mask mask = Mask::right;
  bool keeps_dq = false;   ///< dq is the right kernel's
  bool exchanged = false;  ///< dk and dv
  /// What the golden recipe needs, beside the preset, for the mistake to mean anything.
  std::function<void(recipe::Recipe&)> golden = {};
  bool ragged = false;  ///< needs short blocks
};
const std::vector<PlantedGradient>& planted_gradients();

/// What a candidate's stage is stored in: f32, which holds all, but for codes.
numerics::FormatId stored_format(const GoldenFile& golden, const std::string& stage);
/// delta, dq, dk and dv of a kernel with this mistake on a golden file of one batch entry whose
/// heads have k and v of their own.
files::Tensors gradients_with(const GoldenFile& golden, const PlantedGradient& planted);

/// The preset cut down to small tiles and blocks, forward and backward.
recipe::Recipe small_backward(std::string_view preset);
/// Nothing is rounded to 16 bits, where another order of a sum, or an ulp of exp2, hides.
void in_f32(recipe::Recipe& recipe);

}  // namespace karat::golden
