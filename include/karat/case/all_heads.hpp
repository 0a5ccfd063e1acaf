// Scales that all batch entries and heads share: the largest values of whole tensors.
#pragma once

#include <memory>

#include "karat/case/inputs.hpp"
#include "karat/recipe/recipe.hpp"

namespace karat::cases {

/// Whether the recipe scales an operand by the largest value of every batch entry and head, so that
/// one head alone does not know its scale.
bool scales_all_heads(const recipe::Recipe& recipe);

/// The same inputs, whose values say the largest magnitudes over every batch entry and head
/// (HeadInput::largest), where the recipe scales an operand by them; else `inputs` itself. All
/// heads are read once more, when the first is asked for. Codes come with their scales.
std::shared_ptr<const Inputs> with_largest_of_all(const recipe::Recipe& recipe,
                                                  std::shared_ptr<const Inputs> inputs);

}  // namespace karat::cases
