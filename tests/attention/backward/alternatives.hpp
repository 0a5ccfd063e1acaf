// Values of the backward's fields that edits try.
#pragma once

#include <string>
#include <vector>

#include "karat/numerics/tensor_core/tensor_core.hpp"
#include "karat/recipe/fields.hpp"

namespace karat::attention {

/// Values worth trying of a field of the backward.
inline std::vector<recipe::Value> alternatives(const recipe::Field& field) {
  std::vector<recipe::Value> values;
  switch (field.kind) {
    case recipe::Kind::choice:
      for (const recipe::Choice& choice : field.choices)
        values.emplace_back(std::string(choice.name));
      return values;
    case recipe::Kind::integer:
      return {0.0, 1.0, 9.0, 16.0, 40.0};
    case recipe::Kind::number:
      return {0.25, 1.0, 3.0, 448.0, 1e5};
    case recipe::Kind::instruction:
      for (const numerics::Instruction& row : numerics::instructions())
        values.emplace_back(std::string(numerics::name(row)));
      return values;
    case recipe::Kind::extent:
    case recipe::Kind::text:
      break;
  }
  return values;
}

}  // namespace karat::attention
