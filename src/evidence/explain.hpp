// Private: why a captured word is not the emulated one: the step's own arithmetic, and which change
// of one parameter would have given the captured words.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "karat/numerics/tensor_core/tensor_core.hpp"

namespace karat::evidence {

/// One differing case; operands are codes of the instruction's input format.
struct DifferingRow {
  std::string place;  ///< "case 17", "row 3"
  std::vector<std::uint32_t> a, b;
  std::uint32_t c = 0, captured = 0, emulated = 0;
};

/// One line on the first row, and the one-field edits of the instruction that reproduce most rows.
std::string explain(const numerics::Instruction& instruction, std::span<const DifferingRow> rows);

}  // namespace karat::evidence
