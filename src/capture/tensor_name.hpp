// Names of saved tensors: pPROMPT.sSTEP.lLAYER.hHEAD.BRANCH.TENSOR.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "karat/capture/cell.hpp"

namespace karat::capture {

struct TensorName {
  Cell cell;
  std::string tensor;
};
/// Nothing for other names.
std::optional<TensorName> parse_name(std::string_view text);
/// "cond", "uncond".
std::string_view word_of(video::Branch branch);

}  // namespace karat::capture
