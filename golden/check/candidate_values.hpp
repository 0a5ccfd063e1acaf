// A candidate's numbers in the golden stage's format.
#pragma once

#include <string>
#include <vector>

#include "karat/files/tensor.hpp"
#include "karat/numerics/formats/format.hpp"

namespace karat::golden {

/// Codes (any one-byte type for 8-bit formats, uint16 for f16 and bf16) are decoded, numbers
/// widened.
/// @throws Error(usage) for a type that cannot hold the stage
std::vector<float> candidate_values(const files::Tensor& tensor, numerics::FormatId format,
                                    const std::string& subject);

}  // namespace karat::golden
