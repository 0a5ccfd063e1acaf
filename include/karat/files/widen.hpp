// Float tensors of every width as f32, exactly or not at all.
// Integers are refused: whether they are codes of something is for the caller to know.
#pragma once

#include <string>
#include <vector>

#include "karat/files/tensor.hpp"

namespace karat::files {

/// The values in order. e4m3, e5m2, e8m0, f16 and bf16 widen exactly (each of their values is an
/// f32) and f32 keeps its bits; NaNs of the other types become 0x7FC00000. f64 is accepted where
/// every value is an f32 or NaN.
/// Throws Error(input_output), with `subject` ("file: tensor"), for an f64 value that is not an f32
/// (named by its index) and for integers and booleans.
std::vector<float> widen_to_f32(const Tensor& tensor, const std::string& subject);

}  // namespace karat::files
