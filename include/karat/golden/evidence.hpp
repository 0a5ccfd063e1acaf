// The word a file and the terminal use for what an instruction's model rests on.
#pragma once

#include <string_view>

#include "karat/numerics/tensor_core/tensor_core.hpp"

namespace karat::golden {

constexpr std::string_view evidence_name(numerics::Evidence evidence) {
  switch (evidence) {
    case numerics::Evidence::hardware_rows: return "hardware_rows";
    case numerics::Evidence::model_only: return "model_only";
    case numerics::Evidence::definition: break;
  }
  return "definition";
}

}  // namespace karat::golden
