// The five products of a backward: which operands meet in which instruction.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "karat/recipe/recipe.hpp"

namespace karat::recipe {

struct Product {
  std::string_view path;  ///< of the field that names the instruction
  std::string Backward::*instruction;
  std::string_view left_name, right_name;
  numerics::FormatId left, right;  ///< what the tensor core reads
};

/// S, dP, dV, dQ, dK. S stands there even where backward.scores is forward.
std::array<Product, 5> products(const Recipe& recipe);

/// What a product reads of an operand whose rule is `rule`, by its Source.
numerics::FormatId entering_format(Source source, const quant::Rule& rule,
                                   numerics::FormatId plain);

}  // namespace karat::recipe
