// What formats imply: an instruction by two, an overflow by one.
#pragma once

#include <set>
#include <string>

#include "karat/recipe/recipe.hpp"

namespace karat::recipe {

/// Whether every finite value of `inner` is a value of `outer`.
bool holds(numerics::FormatId outer, numerics::FormatId inner);

/// Sets qk.instruction when format or enters of q or k is among the `given` paths and the
/// instruction is not; pv.instruction from p and v, and quant::usual_overflow() of a format,
/// likewise. Instructions of the backward that are not given follow where their formats are not
/// those of `before` the edit, all of them where it had no backward. Fields of the backward that
/// lose their effect lose their values.
void imply(Recipe& recipe, const std::set<std::string>& given, const Recipe& before);

}  // namespace karat::recipe
