// Number formats of stages as number types of files.
#pragma once

#include <span>
#include <vector>

#include "karat/files/tensor.hpp"
#include "karat/numerics/formats/format.hpp"

namespace karat::cases {

/// Whether files have a type for its codes: none for 4 bits.
bool has_dtype(numerics::FormatId format);
/// @throws Error(usage) for a format without one
files::DType dtype_of(numerics::FormatId format);
/// The format whose codes a type holds; integers that are no codes have none.
bool has_format(files::DType dtype);
numerics::FormatId format_of(files::DType dtype);

/// Values that are exact in `format`, as its codes: Inf stays Inf, NaN stays NaN.
files::Tensor encoded(std::span<const float> values, numerics::FormatId format, files::Shape shape);

}  // namespace karat::cases
