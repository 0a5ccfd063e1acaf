// Memory for a tensor that a file announces, refused with a clear line where it cannot be had.
// Used by every reader after the file's own bounds are checked.
#pragma once

#include <string>

#include "karat/files/tensor.hpp"

namespace karat::files {

/// make_tensor, but Error(input_output) with `subject` if the shape has too many dimensions or the
/// values exceed this machine's memory.
Tensor allocate_tensor(DType dtype, const Shape& shape, const std::string& subject);

}  // namespace karat::files
