// Raw little-endian files of one format converted to another.
#pragma once

#include <string>

#include "karat/numerics/formats/convert.hpp"

namespace karat::cli {

/// Every element of `in` in the other format. An element takes 1, 2 or 4 bytes: formats below a
/// byte one byte each, TF32 a whole f32 word. The output appears only when it is complete.
/// @param random its `first` is the first element's
/// @throws Error(usage) for formats that share no values, a file that ends inside an element, and
///   bits beyond the format's; Error(input_output)
void convert_file(const numerics::Format& from, const numerics::Format& to,
                  const numerics::Policy& policy, numerics::RandomStream random,
                  const std::string& in, const std::string& out);

}  // namespace karat::cli
