// Values rounded to a format and back, whole arrays at a time.
#pragma once

#include <span>

#include "karat/numerics/formats/convert.hpp"

namespace karat::bounds {

/// x becomes the value of its code; f32 stays as it is.
void cast(std::span<float> x, numerics::FormatId format, numerics::Policy policy);

}  // namespace karat::bounds
