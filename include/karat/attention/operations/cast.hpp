// Values rounded to a format and back.
#pragma once

#include <cstdint>
#include <span>

#include "karat/numerics/arithmetic/fp32.hpp"
#include "karat/numerics/formats/convert.hpp"
#include "karat/numerics/tensor_core/tensor_core.hpp"

namespace karat::attention {

/// x becomes the value of its code; f32 stays as it is. Element n of stochastic rounding draws word
/// n of stream 0. `codes` receives the codes of a format of at most 8 bits, unless it is empty.
void cast(std::span<float> x, numerics::FormatId format, numerics::Policy policy,
          numerics::Path path = numerics::Path::fast, std::span<std::uint8_t> codes = {});
/// Both ends: a cast is monotone.
void cast(std::span<numerics::Interval> x, numerics::FormatId format, numerics::Policy policy,
          numerics::Path path = numerics::Path::fast);

}  // namespace karat::attention
