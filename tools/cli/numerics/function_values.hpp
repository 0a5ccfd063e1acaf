// karat codec --function: single values of the special-function unit, with the steps on request.
#pragma once

#include <string>
#include <vector>

#include "karat/numerics/functions/mufu/mufu.hpp"

namespace karat::cli {

struct FunctionValue {
  std::string given;  ///< as the caller wrote it
  float x;
};

enum class Explanation { none, steps };

/// Prints each value's result; JSON is documented in docs/json.md.
void show_function(numerics::Mufu function, numerics::FixedPointCut cut,
                   const std::vector<FunctionValue>& values, Explanation explanation, bool json);

}  // namespace karat::cli
