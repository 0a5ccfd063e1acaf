// Raw little-endian files: one format converted to another, or a function of every f32.
#pragma once

#include <string>

#include "karat/numerics/formats/convert.hpp"
#include "karat/numerics/functions/mufu/mufu.hpp"

namespace karat::cli {

/// Every element of `in` in the other format. An element takes 1, 2 or 4 bytes: formats below a
/// byte one byte each, TF32 a whole f32 word. The output appears only when it is complete.
/// @param random its `first` is the first element's
/// @throws Error(usage) for formats that share no values, a file that ends inside an element, and
///   bits beyond the format's; Error(input_output)
void convert_file(const numerics::Format& from, const numerics::Format& to,
                  const numerics::Policy& policy, numerics::RandomStream random,
                  const std::string& in, const std::string& out);

/// The function of every f32 of `in`. The output appears only when it is complete.
/// @throws Error(usage) for a file that ends inside an element; Error(input_output)
void apply_to_file(numerics::Mufu function, numerics::FixedPointCut cut, const std::string& in,
                   const std::string& out);

}  // namespace karat::cli
